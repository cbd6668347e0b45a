"""Verifying a token: form, issuer, algorithm, key, signature, times, revocation. In this order, each a refusal.

Whose token it is, and for which audience, is for `subjects` and `callers` to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pdp.identity import claims as read
from pdp.identity.compact import CompactToken, parse
from pdp.identity.options import IssuerOptions
from pdp.identity.refusal import MalformedClaim, Refusal
from pdp.identity.revocation import DenyList
from pdp.identity.sources import KeySource


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer and its keys."""

    options: IssuerOptions
    keys: KeySource


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token that its issuer signed and that holds now. `audiences` is still to be checked."""

    issuer: IssuerOptions
    subject: str
    audiences: tuple[str, ...]
    times: read.Times
    token_id: str | None
    claims: read.Claims = field(repr=False)


class TokenVerifier:
    """Verifies tokens of the configured issuers. Keeps nothing between calls."""

    def __init__(self, issuers: Mapping[str, TrustedIssuer], deny_list: DenyList) -> None:
        self._issuers = issuers
        self._deny_list = deny_list

    async def verify(self, token: str, at_ns: int) -> VerifiedToken | Refusal:
        """Verify one token at one instant."""
        parsed = parse(token)
        if isinstance(parsed, Refusal):
            return parsed
        named = parsed.claims.get("iss")
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            return Refusal("issuer", "the token's issuer is not trusted here; use one that is configured")
        distrust = await self._distrust(parsed, issuer, at_ns)
        if distrust is not None:
            return distrust
        try:
            return self._check(issuer.options, parsed.claims, at_ns)
        except MalformedClaim as error:
            return error.refusal()

    async def _distrust(self, parsed: CompactToken, issuer: TrustedIssuer, at_ns: int) -> Refusal | None:
        """Why the issuer cannot be held to the token; None when it signed exactly this."""
        if parsed.algorithm not in issuer.options.algorithms:
            return Refusal("algorithm", "the token's `alg` is not allowed for its issuer; sign with an allowed one")
        ring = await issuer.keys.current(at_ns, parsed.key_id)
        if ring is None:
            return Refusal("keys_unavailable", "the issuer's keys cannot be had; try again, then tell the operator")
        key = ring.select(parsed.key_id, parsed.algorithm)
        if isinstance(key, Refusal):
            return key
        if not key.verifies(parsed.algorithm, parsed.signing_input, parsed.signature):
            return Refusal("signature", "the token's signature does not verify; get a new token from its issuer")
        return None

    def _check(self, issuer: IssuerOptions, claims: read.Claims, at_ns: int) -> VerifiedToken | Refusal:
        times = read.times(
            claims,
            at_ns,
            skew_seconds=issuer.skew_seconds,
            max_lifetime_seconds=issuer.max_lifetime_seconds,
            required=True,
        )
        if isinstance(times, Refusal):
            return times
        subject, jti = read.text(claims, "sub"), read.text(claims, "jti")
        if subject is None:
            return Refusal("claims", "the token has no `sub`; have the issuer add it")
        revoked = self._deny_list.refusal(issuer.issuer, jti, at_ns)
        if revoked is not None:
            return revoked
        return VerifiedToken(issuer, subject, read.audiences(claims), times, jti, claims)
