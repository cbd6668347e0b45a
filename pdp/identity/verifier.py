"""Token verification, in this order: form, issuer, algorithm, key, signature, times, revocation. Each may refuse.

The tenant and the audience are checked by `subjects` and `callers`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from cachetools import LRUCache

from pdp.identity import claims as read
from pdp.identity.claims import MalformedClaim
from pdp.identity.compact import CompactToken, Refusal, parse
from pdp.identity.key_sources import KeySource
from pdp.identity.keys import PublicKey
from pdp.identity.options import IssuerOptions
from pdp.identity.revocation import DenyList

_KNOWN = 1024  # tokens that are remembered
_KNOWN_LENGTH = 4096  # characters of the longest of them


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer and its keys."""

    options: IssuerOptions
    keys: KeySource


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class VerifiedToken:
    """A token that its issuer signed and that holds now. `audiences` is still to be checked.

    While the verifier remembers a token this is one object, by which others may remember what they made of it.
    """

    issuer: IssuerOptions
    subject: str
    audiences: tuple[str, ...]
    times: read.Times
    token_id: str | None
    claims: read.Claims = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Known:
    """A token that held when it was last asked about, and the key that verified its signature."""

    token: CompactToken
    key: PublicKey
    verified: VerifiedToken


class TokenVerifier:
    """Verifies tokens of the configured issuers.

    Between calls it remembers, by the digest of a token's bytes, what is in it and which key has verified its
    signature. That counts only while the issuer's key set has that very key; a set that is read anew has new ones.
    Whether the issuer's keys may still be used, and whether the token has begun, ended or been revoked, is asked on
    every call.
    """

    def __init__(self, issuers: Mapping[str, TrustedIssuer], deny_list: DenyList) -> None:
        self._issuers = issuers
        self._deny_list = deny_list
        self._known: LRUCache[bytes, _Known] = LRUCache(_KNOWN)

    async def verify(self, token: str, at_ns: int) -> VerifiedToken | Refusal:
        """Verify one token at one instant."""
        mark = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        remembered = self._known.get(mark)
        parsed = parse(token) if remembered is None else remembered.token
        if isinstance(parsed, Refusal):
            return parsed
        named = parsed.claims.get("iss")
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            return Refusal("issuer", "the token's issuer is not trusted here; use one that is configured")
        key = await self._key(parsed, issuer, at_ns)
        if isinstance(key, Refusal):
            return key
        verified = remembered.verified if remembered is not None and remembered.key is key else None
        if verified is None and not key.verifies(parsed.algorithm, parsed.signing_input, parsed.signature):
            return Refusal("signature", "the token's signature does not verify; get a new token from its issuer")
        try:
            result = self._check(issuer.options, parsed.claims, at_ns, verified)
        except MalformedClaim as error:
            return error.refusal()
        if verified is None and isinstance(result, VerifiedToken) and len(token) <= _KNOWN_LENGTH:
            self._known[mark] = _Known(parsed, key, result)
        return result

    async def _key(self, parsed: CompactToken, issuer: TrustedIssuer, at_ns: int) -> PublicKey | Refusal:
        """The issuer's key that must have signed the token."""
        if parsed.algorithm not in issuer.options.algorithms:
            return Refusal("algorithm", "the token's `alg` is not allowed for its issuer; sign with an allowed one")
        ring = await issuer.keys.current(at_ns, parsed.key_id)
        if ring is None:
            return Refusal("keys_unavailable", "the issuer's keys cannot be had; try again, then tell the operator")
        return ring.select(parsed.key_id, parsed.algorithm)

    def _check(
        self, issuer: IssuerOptions, claims: read.Claims, at_ns: int, remembered: VerifiedToken | None
    ) -> VerifiedToken | Refusal:
        """Check the times and revocation of a correctly signed token; `remembered` is an earlier result."""
        if unbound := read.unbound(claims):
            return unbound
        times = read.times(
            claims,
            at_ns,
            skew_seconds=issuer.skew_seconds,
            max_lifetime_seconds=issuer.max_lifetime_seconds,
            required=True,
        )
        if isinstance(times, Refusal):
            return times
        subject = remembered.subject if remembered is not None else read.text(claims, "sub")
        jti = remembered.token_id if remembered is not None else read.text(claims, "jti")
        if subject is None:
            return Refusal("claims", "the token has no `sub`; have the issuer add it")
        revoked = self._deny_list.refusal(issuer.issuer, jti, at_ns)
        if revoked is not None:
            return revoked
        return remembered or VerifiedToken(issuer, subject, read.audiences(claims), times, jti, claims)
