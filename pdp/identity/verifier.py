"""Verifying a token: form, issuer, algorithm, key, signature, times, revocation. In this order, each a refusal.

Whose token it is, and for which audience, is for `subjects` and `callers` to say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from cachetools import LRUCache

from pdp.identity import claims as read
from pdp.identity.compact import CompactToken, parse
from pdp.identity.keys import PublicKey
from pdp.identity.options import IssuerOptions
from pdp.identity.refusal import MalformedClaim, Refusal
from pdp.identity.revocation import DenyList
from pdp.identity.sources import KeySource

_SIGNED = 1024  # tokens of which the signature is remembered
_SIGNED_LENGTH = 4096  # characters of the longest of them


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


@dataclass(frozen=True, slots=True)
class _Signed:
    """A token of which `key` has verified the signature."""

    token: CompactToken
    key: PublicKey


class TokenVerifier:
    """Verifies tokens of the configured issuers.

    Between calls it remembers one thing, by the digest of a token's bytes: what is in it, and which key has verified
    its signature. That holds for as long as the issuer's key set has that very key; a set that is read anew has new
    ones. All that depends on time, lists or options is checked on every call.
    """

    def __init__(self, issuers: Mapping[str, TrustedIssuer], deny_list: DenyList) -> None:
        self._issuers = issuers
        self._deny_list = deny_list
        self._signed: LRUCache[bytes, _Signed] = LRUCache(_SIGNED)

    async def verify(self, token: str, at_ns: int) -> VerifiedToken | Refusal:
        """Verify one token at one instant."""
        mark = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        known = self._signed.get(mark)
        parsed = parse(token) if known is None else known.token
        if isinstance(parsed, Refusal):
            return parsed
        named = parsed.claims.get("iss")
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            return Refusal("issuer", "the token's issuer is not trusted here; use one that is configured")
        key = await self._key(parsed, issuer, at_ns)
        if isinstance(key, Refusal):
            return key
        if known is None or known.key is not key:
            if not key.verifies(parsed.algorithm, parsed.signing_input, parsed.signature):
                return Refusal("signature", "the token's signature does not verify; get a new token from its issuer")
            if len(token) <= _SIGNED_LENGTH:
                self._signed[mark] = _Signed(parsed, key)
        try:
            return self._check(issuer.options, parsed.claims, at_ns)
        except MalformedClaim as error:
            return error.refusal()

    async def _key(self, parsed: CompactToken, issuer: TrustedIssuer, at_ns: int) -> PublicKey | Refusal:
        """The issuer's key that must have signed the token."""
        if parsed.algorithm not in issuer.options.algorithms:
            return Refusal("algorithm", "the token's `alg` is not allowed for its issuer; sign with an allowed one")
        ring = await issuer.keys.current(at_ns, parsed.key_id)
        if ring is None:
            return Refusal("keys_unavailable", "the issuer's keys cannot be had; try again, then tell the operator")
        return ring.select(parsed.key_id, parsed.algorithm)

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
