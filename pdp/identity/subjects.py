"""Identification of the subject, its actor chain and its agent (port `Subjects`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from pdp.core.check import OK as PASSED
from pdp.core.check import failed, missing
from pdp.core.digest import Json
from pdp.core.facts import AgentFact, Identity, SubjectFact
from pdp.core.request import AssertedClaims, Bearer, Caller, Credential
from pdp.identity import claims as read
from pdp.identity.claims import MalformedClaim
from pdp.identity.compact import MAX_TOKEN, Refusal, strict_object
from pdp.identity.options import LIFETIME_SECONDS, IssuerOptions
from pdp.identity.revocation import DenyList
from pdp.identity.verifier import TokenVerifier, TrustedIssuer, VerifiedToken

_SKEW_SECONDS = 30  # for vouched claims of an issuer that is not configured here
_NO_AGENT = missing("agent.missing", "without an accepted subject there is no agent; see the subject's check")
_AUDIENCE = Refusal("audience", "the token is for somebody else; ask its issuer for one for this server's resource")
_TENANT = Refusal("tenant", "the token's issuer belongs to another tenant than the caller; use the tenant's issuer")


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A credential that passed, before its claims become facts."""

    source: str
    issuer: str
    subject: str
    times: read.Times
    claims: read.Claims = field(repr=False)
    may_name_groups: bool


class VerifiedSubjects:
    """Verifies credentials of subjects."""

    def __init__(
        self,
        verifier: TokenVerifier,
        issuers: Mapping[str, TrustedIssuer],
        deny_list: DenyList,
        *,
        caller_audience: str | None,
        max_actor_depth: int,
    ) -> None:
        self._verifier = verifier
        self._issuers = issuers
        self._deny_list = deny_list
        self._caller_audience = caller_audience
        self._max_actor_depth = max_actor_depth
        self._known: WeakKeyDictionary[VerifiedToken, Identity] = WeakKeyDictionary()

    async def identify(
        self, credential: Credential, *, caller: Caller, audiences: tuple[str, ...], at_ns: int
    ) -> Identity:
        """See `ports.Subjects.identify`."""
        try:
            match credential:
                case Bearer(token):
                    result = await self._bearer(token, caller, audiences, at_ns)
                case AssertedClaims():
                    result = self._asserted(credential, caller, audiences, at_ns)
                case _:
                    check = missing(
                        "subject.missing", "the request names no subject; send the subject's access token"
                    )
                    return Identity(SubjectFact(check), AgentFact(_NO_AGENT))
        except MalformedClaim as error:
            result = error.refusal()
        if isinstance(result, Refusal):
            return Identity(SubjectFact(failed(f"subject.{result.reason}", result.message)), AgentFact(_NO_AGENT))
        return result

    def revocations(self) -> str:
        """Digest of the deny list that is in force; "" without one."""
        return self._deny_list.digest()

    def key_status(self, at_ns: int) -> Mapping[str, Json]:
        """See `ports.Subjects.key_status`: issuer to {tenant, source, keys, age_seconds, problem}. A deny list that
        cannot be read is every issuer's problem: sooner or later none of their tokens passes."""
        by_issuer: dict[str, Json] = {}
        for name, issuer in self._issuers.items():
            status = {"tenant": issuer.options.tenant, **issuer.keys.status(at_ns)}
            by_issuer[name] = {**status, "problem": status["problem"] or self._deny_list.problem}
        return by_issuer

    async def _bearer(self, token: str, caller: Caller, audiences: tuple[str, ...], at_ns: int) -> Identity | Refusal:
        verified = await self._verifier.verify(token, at_ns)
        if isinstance(verified, Refusal):
            return verified
        if verified.issuer.tenant != caller.tenant:
            return _TENANT
        if not self._addressed(verified.audiences, audiences):
            return _AUDIENCE
        remembered = self._known.get(verified)
        if remembered is not None:  # only this of what the claims come to depends on the instant
            read.authenticated_ns(verified.claims, at_ns, skew_seconds=verified.issuer.skew_seconds)
            return remembered
        accepted = _Accepted(
            "verified",
            verified.issuer.issuer,
            verified.subject,
            verified.times,
            verified.claims,
            may_name_groups=True,
        )
        identity = self._known[verified] = self._identity(accepted, at_ns)
        return identity

    def _asserted(
        self, asserted: AssertedClaims, caller: Caller, audiences: tuple[str, ...], at_ns: int
    ) -> Identity | Refusal:
        """Claims on the caller's word. What they say is checked as in a token; what they leave out has the worst
        value, except `aud`, `exp` and `iat`, which the caller has checked when it verified the token."""
        if asserted.issuer not in caller.may_assert.claims:
            return Refusal(
                "not_vouchable",
                "the caller may not vouch for this issuer; send the token, or list the issuer in `may_assert.claims`",
            )
        options = self._options(asserted.issuer)
        if options is not None and options.tenant != caller.tenant:
            return _TENANT
        claims = strict_object(asserted.claims or b"{}") if len(asserted.claims) <= MAX_TOKEN else None
        if claims is None:
            return Refusal("malformed", f"the claims are not a strict JSON object of at most {MAX_TOKEN} bytes")
        subject = read.text({"sub": asserted.subject}, "sub") or ""
        times = self._vouched_times(asserted.issuer, subject, claims, at_ns)
        if isinstance(times, Refusal):
            return times
        if "aud" in claims and not self._addressed(read.audiences(claims), audiences):
            return _AUDIENCE
        may_name_groups = caller.may_assert.groups
        return self._identity(
            _Accepted("vouched", asserted.issuer, subject, times, claims, may_name_groups=may_name_groups), at_ns
        )

    def _vouched_times(self, issuer: str, subject: str, claims: read.Claims, at_ns: int) -> read.Times | Refusal:
        """Check that the claims agree with what is named beside them, hold now and are not revoked."""
        if claims.get("iss", issuer) != issuer or claims.get("sub", subject) != subject:
            return Refusal("claims", "`iss` or `sub` in the claims differs from what is named beside them")
        options = self._options(issuer)
        jti = read.text(claims, "jti")
        refused = read.unbound(claims) or self._deny_list.refusal(issuer, jti, at_ns, vouched=True)
        return refused or read.times(
            claims,
            at_ns,
            skew_seconds=_SKEW_SECONDS if options is None else options.skew_seconds,
            max_lifetime_seconds=LIFETIME_SECONDS if options is None else options.max_lifetime_seconds,
            required=False,
        )

    def _options(self, issuer: str) -> IssuerOptions | None:
        trusted = self._issuers.get(issuer)
        return None if trusted is None else trusted.options

    def _addressed(self, named: tuple[str, ...], audiences: tuple[str, ...]) -> bool:
        """Whether the token is for one of `audiences`. One that a caller could identify itself with never is."""
        return self._caller_audience not in named and not set(named).isdisjoint(audiences)

    def _identity(self, accepted: _Accepted, at_ns: int) -> Identity:
        claims, options = accepted.claims, self._options(accepted.issuer)
        kind_rules, groups_claim = read.rules_of(options)
        skew = _SKEW_SECONDS if options is None else options.skew_seconds
        chain = read.actors(claims, self._max_actor_depth)
        groups = read.groups(claims, groups_claim)
        subject = SubjectFact(
            PASSED,
            accepted.source,
            accepted.subject,
            accepted.issuer,
            read.kind(claims, accepted.subject, kind_rules),
            groups=groups if accepted.may_name_groups else (),
            scopes=read.scopes(claims),
            acr=read.text(claims, "acr"),
            amr=read.texts(claims, "amr"),
            issued_ns=accepted.times.issued_ns,
            authenticated_ns=read.authenticated_ns(claims, at_ns, skew_seconds=skew),
            expires_ns=accepted.times.expires_ns,
            token_id=read.text(claims, "jti"),
        )
        agent = read.agent(claims, chain, accepted.source)
        return Identity(subject, agent, chain if chain and agent.check.ok else ())
