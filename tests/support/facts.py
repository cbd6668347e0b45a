"""Facts made by hand: one call with everything in order, to be bent by a test in one place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pdp.core.call.facts import (
    AgentFact,
    AgentRegistration,
    Annotations,
    ArgumentsFact,
    Asserted,
    CallerFact,
    Facts,
    Identity,
    ServerFact,
    SessionFact,
    SubjectFact,
    TargetFact,
)
from pdp.core.check import OK, missing

CALL = "call-1"
ABSENT = missing("x.missing", "There is none.")
SUBJECT = SubjectFact(
    OK,
    source="verified",
    id="ada",
    issuer="https://id.example",
    kind="human",
    groups=("developers",),
    scopes=("repo:read", "repo:write"),
    expires_ns=2**62,
)
AGENT = AgentFact(OK, "verified", "assistant", "oauth_client", AgentRegistration("no_list"))
TARGET = TargetFact(
    OK,
    key="tool:git_reset",
    kind="tool",
    name="git_reset",
    server="git",
    risk="low",
    annotations=Annotations(read_only=True, destructive=False),
    schema_open=False,
    cost=1,
)
BARE = Facts(
    phase="call",
    method="tools/call",
    caller=CallerFact(OK, "gateway", "acme", ("decide",)),
    identity=Identity(SUBJECT, AGENT),
    server=ServerFact(OK, "git", "https://git.example/mcp", "platform"),
    switch=OK,
    targets=(TARGET,),
    arguments=ArgumentsFact(OK),
    session=SessionFact(OK),
    asserted=Asserted(),
    call_digest=CALL,
)
GOOD = replace(
    BARE,
    arguments=ArgumentsFact(OK, {}, (), 2, 1),
    session=SessionFact(
        OK, known=True, observed=True, labels=(), task="look", task_source="caller", calls=1, denials=0
    ),
    judge_prompts={"intent": "11"},
    people_refusals=0,
    people_withdrawals=0,
)


def good_target(name: str = TARGET.name, kind: str = TARGET.kind, **changes: Any) -> TargetFact:
    """A harmless tool of the server `git`."""
    return replace(TARGET, **{"name": name, "kind": kind, "key": f"{kind}:{name}", **changes})


def good_call(**changes: Any) -> Facts:
    """A developer's call of a harmless tool."""
    return replace(GOOD, **changes)


def bare_call(**changes: Any) -> Facts:
    """A call that passed every check, of which nothing more is known: the worst counts and labels."""
    return replace(BARE, **changes)


def list_of(call: Facts, targets: tuple[TargetFact, ...]) -> Facts:
    """The list in which the tools of calls like this one stand."""
    return Facts(
        phase="list",
        method="tools/list",
        caller=call.caller,
        identity=call.identity,
        server=call.server,
        switch=call.switch,
        targets=targets,
        arguments=ArgumentsFact(ABSENT),
        session=SessionFact(ABSENT),
        asserted=Asserted(),
        waivers=call.waivers,
    )
