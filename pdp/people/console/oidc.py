"""OpenID Connect sign-in: authorization code with PKCE (RFC 7636), state and nonce, and the check of the ID token
(OpenID Connect Core 1.0 section 3.1.3.7). HTTP by httpx, signatures by joserfc.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from pdp.core.approvals.rows import Account
from pdp.core.call.names import is_loopback
from pdp.core.check import NS
from pdp.core.errors import ConfigurationFault, Unauthenticated, Unavailable
from pdp.core.ports import Clock
from pdp.host.options import url_problem
from pdp.people.console.options import ProviderOptions

_MAX_DOCUMENT = 256 << 10
_TIMEOUT_SECONDS = 5.0
_KEEP_NS = 600 * NS  # metadata and keys
_RETRY_NS = 30 * NS  # a token signed by an unknown key is no reason to ask more often
_REST_NS = 5 * NS  # a provider that does not answer is left alone for so long


@dataclass(frozen=True, slots=True)
class SignInAttempt:
    """State of one sign-in attempt, sealed in a cookie of the browser meanwhile."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class _Metadata:
    authorize: str
    token: str
    jwks: str
    basic: bool  # the client authenticates by the Authorization header
    names_itself: bool  # RFC 9207: answers carry `iss`
    read_ns: int


class Provider:
    """One provider. Its metadata and keys are read when first needed, and again when old."""

    def __init__(
        self,
        options: ProviderOptions,
        secret: bytes,
        callback: str,
        clock: Clock,
        marks: Mapping[str, str] | None = None,
    ) -> None:
        """`marks`: claims by which its sign-ins are revoked, by kind of mark. Raises ConfigurationFault
        (`console.ca_file`, `console.client_secret`)."""
        self.options = options
        self._marks = marks or {}
        self._secret = _text_secret(secret)
        self._callback = callback
        self._clock = clock
        self._metadata: _Metadata | None = None
        self._failed_ns = -_REST_NS
        self._keys: tuple[KeySet, int] | None = None
        self._lock = asyncio.Lock()
        try:
            self._tls = ssl.create_default_context(cafile=options.ca_file)
        except (OSError, ssl.SSLError):
            raise ConfigurationFault(
                "console.ca_file", f"console.providers ({options.name}): ca_file is not a readable PEM bundle."
            ) from None

    async def authorize_url(self, attempt: SignInAttempt, *, max_age: int, again: bool) -> str:
        """The URL of the provider for the browser. `max_age`: seconds since the person last proved who they are;
        `again`: have them prove it now. Raises Unavailable."""
        asked = {
            "response_type": "code",
            "client_id": self.options.client_id,
            "redirect_uri": self._callback,
            "scope": " ".join(("openid", *self.options.scopes)),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": challenge(attempt.verifier),
            "code_challenge_method": "S256",
            "max_age": str(max_age),
        }
        if again:
            asked["prompt"] = "login"
        place = (await self._about()).authorize
        return f"{place}{'&' if '?' in place else '?'}{urlencode(asked, quote_via=quote)}"

    async def exchange(self, code: str, issuer: str, attempt: SignInAttempt) -> Signed:
        """The signed-in person. `issuer` is the answer's `iss`, if it had one (RFC 9207).

        Raises Unauthenticated (`console.signin_*`) and Unavailable.
        """
        about = await self._about()
        if (issuer or about.names_itself) and issuer != self.options.issuer:
            raise refused("issuer", "The answer came from another provider.")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._callback,
            "code_verifier": attempt.verifier,
        }
        headers = {"accept": "application/json"}
        if self._secret and about.basic:
            pair = f"{quote(self.options.client_id, safe='')}:{quote(self._secret, safe='')}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = self.options.client_id
            if self._secret:
                form["client_secret"] = self._secret
        status, answer = await self._http("POST", about.token, headers, form)
        token = answer.get("id_token")
        if status != httpx.codes.OK or not isinstance(token, str):
            error = repr(answer.get("error"))[:80]  # for the operator: wrong client or secret, most often
            raise Unauthenticated(
                "console.signin_code",
                "The provider did not accept its own code; sign in again.",
                detail=f"{self.options.name}: token endpoint answers {status}, error {error}",
            )
        now = self._clock.now_ns() // NS
        return read(await self._claims(token), self.options, attempt.nonce, now, self._marks)

    async def _claims(self, token: str) -> Mapping[str, Any]:
        """Claims whose signature holds. A key that is not known is looked for once."""
        for fresh in (False, True):
            claims = verified(token, await self._key_set(fresh=fresh))
            if claims is not None:
                return claims
        raise refused("token", "The provider's ID token is not signed by a key of its own.")

    async def _about(self) -> _Metadata:
        now = self._clock.now_ns()
        async with self._lock:
            if self._metadata is None or now - self._metadata.read_ns > _KEEP_NS:
                if now - self._failed_ns < _REST_NS:
                    raise _away("It did not a moment ago.")
                try:
                    self._metadata = await self._discover(now)
                except Unavailable:
                    self._failed_ns = now
                    raise
            return self._metadata

    async def _discover(self, now: int) -> _Metadata:
        url = f"{self.options.issuer.rstrip('/')}/.well-known/openid-configuration"
        status, metadata = await self._http("GET", url, {"accept": "application/json"})
        places = [metadata.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        if (
            status != httpx.codes.OK
            or metadata.get("issuer") != self.options.issuer
            or not all(map(self._fit, places))
        ):
            raise _away("Its metadata cannot be used: it must name the configured issuer, and https addresses.")
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        basic = isinstance(methods, list) and "client_secret_basic" in methods
        named = metadata.get("authorization_response_iss_parameter_supported") is True
        return _Metadata(str(places[0]), str(places[1]), str(places[2]), basic, named, now)

    def _fit(self, url: object) -> bool:
        """Only an issuer on this machine may send us to this machine without TLS."""
        if not isinstance(url, str) or url_problem(url):
            return False
        return url.startswith("https:") or is_loopback(httpx.URL(self.options.issuer).host)

    async def _key_set(self, *, fresh: bool) -> KeySet:
        about = await self._about()
        now = self._clock.now_ns()
        async with self._lock:
            if self._keys is not None and now - self._keys[1] <= (_RETRY_NS if fresh else _KEEP_NS):
                return self._keys[0]
            status, document = await self._http("GET", about.jwks, {"accept": "application/json"})
            entries = document.get("keys")
            if status != httpx.codes.OK or not isinstance(entries, list):
                raise _away("Its keys cannot be read.")
            self._keys = (usable(entries), now)
            return self._keys[0]

    async def _http(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        """Status and JSON object; {} for what is none. Bounded; no redirects, no ambient proxy."""
        body = bytearray()
        try:
            async with (
                asyncio.timeout(_TIMEOUT_SECONDS),
                httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=_TIMEOUT_SECONDS) as client,
                client.stream(method, url, headers={**headers, "accept-encoding": "identity"}, data=form) as answer,
            ):
                if "content-encoding" in answer.headers:
                    raise _away("It compresses what it was asked not to.")
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > _MAX_DOCUMENT:
                        raise _away("It answers at too great length.")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, UnicodeError):
            raise _away("It cannot be reached.") from None
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = {}
        return answer.status_code, document if isinstance(document, dict) else {}


def challenge(verifier: str) -> str:
    """The PKCE challenge of a verifier, method S256 (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


def _text_secret(secret: bytes) -> str:
    try:
        return secret.decode("ascii")
    except UnicodeDecodeError:
        raise ConfigurationFault("console.client_secret", "a client secret must be ASCII text.") from None


def _away(message: str) -> Unavailable:
    return Unavailable("console.provider", f"The sign-in provider does not answer properly. {message}")


ALGORITHMS = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512", "Ed25519")
_REFUSED_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64"})  # they bring a key, or change the rest
_SKEW = 60  # seconds
_MAX_LIFETIME = 24 * 3600
_MAX_TEXT = 512


@dataclass(frozen=True, slots=True)
class Signed:
    """A verified sign-in. `authenticated_ns` is the `auth_time` of the token, 0 without one; `names` is by what else
    than the account it is revoked, by kind of mark."""

    account: Account
    name: str
    groups: tuple[str, ...]
    authenticated_ns: int
    names: tuple[tuple[str, str], ...] = ()


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


def read(
    claims: Mapping[str, Any], options: ProviderOptions, nonce: str, now: int, marks: Mapping[str, str]
) -> Signed:
    """The signed-in person, from verified claims; `now` in seconds. Raises Unauthenticated (`console.signin_*`)."""
    if problem := _problem(claims, options, nonce, now):
        raise refused("token", problem)
    if "act" in claims:
        raise refused("agent", "An agent cannot sign in here.")
    groups = claims.get(options.groups_claim, [])
    if not isinstance(groups, list) or not all(map(_is_text, groups)):
        raise refused("groups", "The groups in the ID token are not a list of names.")
    subject, proved = str(claims["sub"]), _seconds(claims, "auth_time")
    name = next((c for c in map(claims.get, ("name", "preferred_username", "email")) if _is_text(c)), subject)
    names = tuple((kind, str(claims[claim])) for kind, claim in marks.items() if _is_text(claims.get(claim)))
    account, groups = Account(options.issuer, subject), tuple(dict.fromkeys(groups))
    return Signed(account, str(name), groups, (proved or 0) * NS, names)


def refused(reason: str, message: str) -> Unauthenticated:
    """A sign-in that does not count."""
    return Unauthenticated(f"console.signin_{reason}", message)


def _problem(claims: Mapping[str, Any], options: ProviderOptions, nonce: str, now: int) -> str:
    """The problem of the claims, or ""."""
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
