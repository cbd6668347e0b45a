"""The subject, agent and actor chain of claims: RFC 9068 (access tokens), RFC 8693 (`act`), OpenID Connect Core. The
shapes are checked in `core.call.claims`.
"""

from __future__ import annotations

from pdp.core.bytes.compact import Refusal
from pdp.core.call.claims import Claims, MalformedClaim, seconds, text, texts
from pdp.core.call.facts import Actor, AgentFact
from pdp.core.check import NS, failed, missing
from pdp.core.check import OK as PASSED
from pdp.identity.options import IssuerOptions, SubjectKindOptions


def unbound(claims: Claims) -> Refusal | None:
    """`unbound` for a token that is bound to a key of its sender (`cnf`, RFC 7800; DPoP, RFC 9449; mTLS, RFC 8705):
    the PDP receives no proof of that key, and without one a copied token could be used."""
    if "cnf" not in claims:
        return None
    return Refusal(
        "unbound",
        "the token is bound to a key (`cnf`), and no proof of it is verified here; send an unbound token, or have a "
        "caller that verified the proof vouch for the claims, without `cnf`",
    )


def groups(claims: Claims, name: str) -> tuple[str, ...]:
    """The groups claim. A token with its groups elsewhere (OpenID Connect Core 5.6.2, "overage") counts as
    malformed: "no groups" would lose facts that a rule may deny on."""
    elsewhere = claims.get("_claim_names", {})
    if not isinstance(elsewhere, dict) or name in elsewhere or claims.get("hasgroups", False) is not False:
        raise MalformedClaim(name, "inside the token, not referred to")
    return texts(claims, name)


def authenticated_ns(claims: Claims) -> int:
    """`auth_time`, Unix nanoseconds; 0 when absent. Whether it lies in the past is asked on every call."""
    return (seconds(claims, "auth_time") or 0) * NS


def clients(claims: Claims) -> tuple[str, ...]:
    """The distinct client ids that the token names: `client_id` (RFC 9068), `azp` (OpenID Connect)."""
    named = (text(claims, "client_id"), text(claims, "azp"))
    return tuple(dict.fromkeys(name for name in named if name is not None))


def kind(claims: Claims, subject: str, rules: SubjectKindOptions) -> str:
    """One of "service", "human" and "unknown".

    A service: `sub` is the client itself (RFC 9068 section 2.2), or the issuer's rule says so. A human only on
    positive evidence, since policy gives people rights that no service may have: the issuer's rule, or traces of a
    person signing in (`auth_time`, `amr`). `acr` is no such trace, for some issuers put it into every token.
    """
    if subject in clients(claims):
        return "service"
    if rules.claim is not None:
        value = claims.get(rules.claim)
        values = [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str)]
        if any(v in rules.service for v in values):
            return "service"
        if any(v in rules.human for v in values):
            return "human"
        if rules.human:
            return "unknown"
    signed_in = "auth_time" in claims or bool(texts(claims, "amr"))
    return "human" if signed_in else rules.otherwise


def actors(claims: Claims, max_depth: int) -> tuple[Actor, ...] | None:
    """The `act` chain (RFC 8693 section 4.1), the current actor first; None when it is deeper than `max_depth`."""
    chain: list[Actor] = []
    holder = claims
    while "act" in holder:
        act = holder["act"]
        if not isinstance(act, dict):
            raise MalformedClaim("act", "an object with `sub`")
        name = text(act, "sub")
        if name is None:
            raise MalformedClaim("act", "an object with `sub`")
        if len(chain) == max_depth:
            return None
        chain.append(Actor(name, text(act, "iss")))
        holder = act
    return tuple(chain)


def agent(claims: Claims, chain: tuple[Actor, ...] | None, source: str) -> AgentFact:
    """The client software: the client the token was issued to, else the current actor.

    Fails with `agent.chain_too_deep`, `agent.mismatch` or `agent.missing`.
    """
    if chain is None:
        return AgentFact(failed("agent.chain_too_deep", "the token's `act` chain is deeper than is allowed here"))
    named = clients(claims)
    if len(named) > 1:
        return AgentFact(failed("agent.mismatch", "`client_id` and `azp` of the token differ; get a new token"))
    if named:
        return AgentFact(PASSED, source, named[0], "oauth_client")
    if chain:
        return AgentFact(PASSED, source, chain[0].id, "actor")
    return AgentFact(missing("agent.missing", "the token names no client; have it carry `client_id`, `azp` or `act`"))


UNCONFIGURED = SubjectKindOptions()
"""For an issuer that a caller vouches for and that we do not know ourselves."""


def rules_of(options: IssuerOptions | None) -> tuple[SubjectKindOptions, str]:
    """The rule for the subject's kind, and the name of the groups claim."""
    return (UNCONFIGURED, "groups") if options is None else (options.subject_kind, options.groups_claim)
