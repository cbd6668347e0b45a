"""What a provider's ID token says, and whether to believe it (OpenID Connect Core 1.0 section 3.1.3.7). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from pdp.adapters.console.options import ProviderOptions
from pdp.core.approvals.rows import Account
from pdp.core.check import NS
from pdp.core.errors import Unauthenticated

ALGORITHMS = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512", "Ed25519")
_REFUSED_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64"})  # they bring a key, or change the rest
_SKEW = 60  # seconds
_MAX_LIFETIME = 24 * 3600
_MAX_TEXT = 512


@dataclass(frozen=True, slots=True)
class Signed:
    """Who signed in. `authenticated_ns` is when they proved who they are, 0 when the token does not say."""

    account: Account
    name: str
    groups: tuple[str, ...]
    authenticated_ns: int


def usable(entries: list[Any]) -> KeySet:
    """A provider's public signature keys; what is of another kind is left out."""
    kept = []
    for entry in entries:
        if isinstance(entry, dict) and entry.get("kty") in {"RSA", "EC", "OKP"} and entry.get("use", "sig") == "sig":
            try:
                kept += KeySet.import_key_set({"keys": [entry]}).keys
            except (JoseError, ValueError, TypeError, KeyError):
                continue
    return KeySet(kept)


def verified(token: str, keys: KeySet) -> Mapping[str, Any] | None:
    """The claims of a token that one of the keys signed; None for every other token."""
    try:
        decoded = jwt.decode(token, keys, algorithms=list(ALGORITHMS))
    except (JoseError, ValueError, TypeError):
        return None
    return decoded.claims if _REFUSED_HEADERS.isdisjoint(decoded.header) else None


def read(claims: Mapping[str, Any], options: ProviderOptions, nonce: str, now: int) -> Signed:
    """Who signed in, by verified claims; `now` in seconds. Raises Unauthenticated (`console.signin_*`)."""
    if problem := _problem(claims, options, nonce, now):
        raise refused("token", problem)
    if "act" in claims:
        raise refused("agent", "An agent cannot sign in here.")
    groups = claims.get(options.groups_claim, [])
    if not isinstance(groups, list) or not all(map(_is_text, groups)):
        raise refused("groups", "The groups in the ID token are not a list of names.")
    subject, proved = str(claims["sub"]), _seconds(claims, "auth_time")
    name = next((c for c in map(claims.get, ("name", "preferred_username", "email")) if _is_text(c)), subject)
    return Signed(Account(options.issuer, subject), str(name), tuple(dict.fromkeys(groups)), (proved or 0) * NS)


def refused(reason: str, message: str) -> Unauthenticated:
    """A sign-in that does not count."""
    return Unauthenticated(f"console.signin_{reason}", message)


def _problem(claims: Mapping[str, Any], options: ProviderOptions, nonce: str, now: int) -> str:
    """What is wrong with the claims, or ""."""
    ours, audience = options.client_id, claims.get("aud")
    proved = _seconds(claims, "auth_time") or 0
    checks = (
        (claims.get("iss") == options.issuer, "The ID token names another issuer."),
        (audience in (ours, [ours]), "The ID token is another client's."),
        (all(claims.get(name, ours) == ours for name in ("azp", "client_id")), "The ID token is another client's."),
        (claims.get("nonce") == nonce, "The ID token was made for another sign-in."),
        (_is_timely(claims, now), "The ID token is not valid now, or for too long; check clocks and lifetime."),
        (_is_text(claims.get("sub")), "The ID token names nobody."),
        (proved <= now + _SKEW, "The ID token says that you signed in later than now; check the clocks."),
    )
    return next((problem for holds, problem in checks if not holds), "")


def _is_timely(claims: Mapping[str, Any], now: int) -> bool:
    issued, expires = _seconds(claims, "iat"), _seconds(claims, "exp")
    if issued is None or expires is None or expires - issued > _MAX_LIFETIME:
        return False
    return issued - _SKEW <= now < expires + _SKEW and now - issued <= _MAX_LIFETIME


def _seconds(claims: Mapping[str, Any], name: str) -> int | None:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 40:
        return None
    return int(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_TEXT and value.isprintable()
