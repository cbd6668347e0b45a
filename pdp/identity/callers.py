"""Authentication of callers by mTLS certificate or caller token (port `Callers`)."""

from __future__ import annotations

import re

from pdp.core.errors import Unauthenticated
from pdp.core.request import Caller, Peer
from pdp.identity.compact import Refusal
from pdp.identity.options import IdentityOptions, SanMatch, normal_san
from pdp.identity.verifier import TokenVerifier

_BEARER = re.compile(r"bearer +([^ ]+)", re.IGNORECASE)


class ConfiguredCallers:
    """Knows the callers of the configuration. Nobody else is one."""

    def __init__(self, options: IdentityOptions, verifier: TokenVerifier) -> None:
        self._verifier = verifier
        self._audience = options.caller_audience
        self._by_san: dict[str, Caller] = {}
        self._by_token: dict[tuple[str, str], Caller] = {}
        for name, configured in options.callers.items():
            caller, match = configured.caller(name), configured.match
            if isinstance(match, SanMatch):
                self._by_san.update(dict.fromkeys(match.sans, caller))
            else:
                self._by_token[match.issuer, match.subject] = caller

    async def authenticate(self, peer: Peer, at_ns: int) -> Caller:
        """See `ports.Callers.authenticate`. Every credential that is shown must hold, and all must name one caller.

        Raises Unauthenticated: `caller.unauthenticated` (none shown), `caller.unknown` (valid, but nobody's),
        `caller.certificate` (malformed, or with a name that could be read in two ways),
        `caller.certificate_expired`, `caller.ambiguous`, `caller.token_scheme`, `caller.token_<reason>` as for
        subjects.
        """
        if peer.unreadable:
            raise Unauthenticated(
                "caller.certificate",
                "the client certificate is malformed, or a name in it is not printable ASCII; have it issued anew",
            )
        if 0 < peer.until_ns <= at_ns:  # TLS asks when a connection begins, and that may be long ago
            raise Unauthenticated(
                "caller.certificate_expired",
                "the client certificate has expired; connect anew with one that is valid",
            )
        matches: dict[str, Caller] = {}
        if peer.transport == "mtls":  # on any other transport nobody has verified them
            configured = (self._by_san.get(normal_san(san)) for san in peer.sans)
            matches = {caller.name: caller for caller in configured if caller is not None}
        if peer.authorization:
            caller = await self._by_bearer(peer.authorization, at_ns)
            matches[caller.name] = caller
        if len(matches) > 1:
            raise Unauthenticated(
                "caller.ambiguous", "the credentials shown belong to different callers; show those of one only"
            )
        if matches:
            return next(iter(matches.values()))
        if peer.transport == "mtls" and peer.sans:
            raise Unauthenticated(
                "caller.unknown", "the client certificate is not a configured caller's; add its SAN to `callers`"
            )
        raise Unauthenticated(
            "caller.unauthenticated",
            "no caller credential; use a client certificate or a caller token in `authorization` metadata",
        )

    async def _by_bearer(self, authorization: str, at_ns: int) -> Caller:
        scheme = _BEARER.fullmatch(authorization)
        if scheme is None:
            raise Unauthenticated("caller.token_scheme", "`authorization` metadata must read `Bearer <caller token>`")
        verified = await self._verifier.verify(scheme[1], at_ns)
        if isinstance(verified, Refusal):
            raise Unauthenticated(f"caller.token_{verified.reason}", f"caller: {verified.message}")
        if self._audience is None or verified.audiences != (self._audience,):
            # one token must not serve as caller token and as a subject's, so its only audience is ours
            raise Unauthenticated(
                "caller.token_audience", "caller: the token's only `aud` must be the configured `caller_audience`"
            )
        caller = self._by_token.get((verified.issuer.issuer, verified.subject))
        if caller is None:
            raise Unauthenticated(
                "caller.unknown", "the caller token is valid but no caller's; add its issuer and subject to `callers`"
            )
        return caller
