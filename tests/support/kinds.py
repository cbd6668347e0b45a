"""A kind of calls, made by hand."""

from __future__ import annotations

from functools import partial
from typing import Any

from support.facts import bare_call

from pdp.core.call.facts import (
    CallerFact,
    Facts,
    Identity,
    ServerFact,
    TargetFact,
)
from pdp.core.call.request import Ask, Caller
from pdp.core.check import OK
from pdp.core.outcome import SharedFacts
from pdp.core.record.atoms import atom_hashes
from pdp.decide.idempotency import content_form, request_head, rights_of
from pdp.decide.kind import CallKind


def facts_of(ask: Ask, caller: Caller, identity: Identity) -> Facts:
    """Of a call that passed every check."""
    target = ask.target
    return bare_call(
        method=ask.method,
        caller=CallerFact(OK, caller.name, caller.tenant),
        identity=identity,
        server=ServerFact(OK, target.server),
        targets=(TargetFact(OK, f"{target.kind}:{target.name}", target.kind, target.name, target.server),),
        call_digest="",
    )


def kind_of(ask: Ask, caller: Caller, facts: Facts) -> CallKind:
    """The kind of a request about which these are the facts."""
    identity = facts.identity
    named = identity.subject.check.ok and identity.agent.check.ok
    fields: dict[str, Any] = {
        "pair": ("", ""),
        "subject_index": "",
        **dict.fromkeys(("own_tokens", "record"), ()),
        **dict.fromkeys(("pinned", "call")),
    }
    return CallKind(
        caller=caller,
        verified=identity,
        facts=facts,
        hashes=partial(atom_hashes, b"k" * 32, caller.tenant, identity.subject.issuer, identity.subject.id),
        size=0,
        shared=SharedFacts(facts),
        sound=True,
        rights=rights_of(identity) if named else "",
        request=request_head(caller, identity),
        content=content_form(ask),
        bound=(b"", b""),
        until_ns=0,
        **fields,
    )
