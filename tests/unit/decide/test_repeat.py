"""What makes two requests the same: every field but the credential and the id."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
from support.kinds import facts_of, kind_of

from pdp.core.call.facts import AgentFact, Identity, SubjectFact
from pdp.core.call.request import (
    Ask,
    Bearer,
    Caller,
    ClientAnswer,
    GenericTarget,
    PromptTarget,
    ResourceTarget,
    Role,
    ServerPeer,
    SessionAsk,
    ToolTarget,
)
from pdp.core.check import OK, failed
from pdp.decide.idempotency import Claim, Idempotency, _encode

CALLER = Caller("gw", "acme", frozenset({Role.DECIDE}), frozenset({"*"}))
WHO = Identity(SubjectFact(OK, "verified", "alice", "https://idp"), AgentFact(OK, "verified", "agent"))
TARGET = ToolTarget("git", "status", b"d", "", b"{}")
ASK = Ask("r", "c", "tools/call", TARGET, Bearer("t"), SessionAsk("s"))


@pytest.fixture
def repeats() -> Idempotency:
    return Idempotency(b"k" * 32)


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, bytes):
        return value + b"x"
    if isinstance(value, tuple):
        return (*value, "x")
    raise AssertionError(value)


# tried by themselves, or no content
APART = {"target", "session", "credential", "client_answers", "request_id", "server_peer", "until_ns"}


def changed() -> dict[str, Ask]:
    """One request per field, with another value there."""
    made: dict[str, Ask] = {}
    for f in fields(Ask):
        if f.name not in APART:
            made[f.name] = replace(ASK, **{f.name: other(getattr(ASK, f.name))})
    for f in fields(SessionAsk):
        session = replace(ASK.session, **{f.name: other(getattr(ASK.session, f.name))})
        made[f"session.{f.name}"] = replace(ASK, session=session)
    for f in fields(ServerPeer):
        made[f"server_peer.{f.name}"] = replace(ASK, server_peer=ServerPeer(**{f.name: "x"}))
    for f in fields(ToolTarget):
        made[f"target.{f.name}"] = replace(ASK, target=replace(TARGET, **{f.name: other(getattr(TARGET, f.name))}))
    made["target.definition none"] = replace(ASK, target=replace(TARGET, definition=None))
    made["target.definition empty"] = replace(ASK, target=replace(TARGET, definition=b""))
    made["prompt"] = replace(ASK, target=PromptTarget("git", "status", b"{}"))
    made["resource"] = replace(ASK, target=ResourceTarget("git", "status"))
    made["generic"] = replace(ASK, target=GenericTarget("git", "status", b"{}"))
    made["client_answers"] = replace(ASK, client_answers=(ClientAnswer("a", "accept"),))
    made["client_answers other"] = replace(ASK, client_answers=(ClientAnswer("a", "decline"),))
    return made


def claimed(repeats: Idempotency, ask: Ask, caller: Caller = CALLER, who: Identity = WHO) -> Claim | None:
    return repeats.claim(ask, kind_of(ask, caller, facts_of(ask, caller, who)))


def content(repeats: Idempotency, ask: Ask) -> str:
    claim = claimed(repeats, ask)
    assert claim is not None
    return claim.content


def test_any_field_makes_other_content(repeats: Idempotency) -> None:
    made = {"": ASK, **changed()}
    contents = {content(repeats, ask) for ask in made.values()}
    assert len(contents) == len(made)


def test_credential_and_id_are_no_content(repeats: Idempotency) -> None:
    assert content(repeats, ASK) == content(repeats, replace(ASK, credential=Bearer("u"), request_id="q"))


def test_text_and_bytes_do_not_pass_for_each_other() -> None:
    assert _encode(b"x") != _encode("x")


def test_what_is_not_known_is_a_bug_rather_than_no_content() -> None:
    @dataclass
    class New:
        field: set[str]

    with pytest.raises(TypeError):
        _encode(New({"a"}))


def test_the_scope_of_an_id(repeats: Idempotency) -> None:
    def key(caller: Caller = CALLER, who: Identity = WHO, ask: Ask = ASK) -> str:
        claim = claimed(repeats, ask, caller, who)
        assert claim is not None
        return claim.key

    subject = WHO.subject
    keys = {
        key(),
        key(replace(CALLER, name="other")),
        key(replace(CALLER, tenant="beta")),
        key(who=replace(WHO, subject=replace(subject, id="bob"))),
        key(who=replace(WHO, subject=replace(subject, issuer="https://other"))),
        key(ask=replace(ASK, request_id="q")),
    }
    assert len(keys) == 6
    # nothing else is part of it: roles may change, and a token may be renewed
    assert key(replace(CALLER, roles=frozenset())) == key()
    assert key(who=replace(WHO, subject=replace(subject, expires_ns=7, token_id="j"))) == key()


@pytest.mark.parametrize(
    "who",
    [
        replace(WHO, subject=SubjectFact(failed("subject.expired", ""))),
        replace(WHO, agent=AgentFact(failed("agent.mismatch", ""))),
    ],
)
def test_who_is_not_verified_has_no_repeats(repeats: Idempotency, who: Identity) -> None:
    assert claimed(repeats, ASK, CALLER, who) is None


async def test_only_one_of_the_same_claim_is_under_way(repeats: Idempotency) -> None:
    order: list[str] = []

    async def work(name: str, claim: Claim | None) -> None:
        async with repeats.single_flight(claim):
            order.append(f"{name} begins")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            order.append(f"{name} ends")

    one, two = Claim("t", "k", "c", "r"), Claim("t", "l", "c", "r")
    await asyncio.gather(work("a", one), work("b", one), work("c", two), work("d", None))
    assert order.index("a ends") < order.index("b begins")
    assert order.index("c begins") < order.index("a ends")
    assert order.index("d begins") < order.index("a ends")
    assert not repeats._running


async def test_a_place_is_given_up_by_who_fails(repeats: Idempotency) -> None:
    claim = Claim("t", "k", "c", "r")
    with pytest.raises(RuntimeError):
        async with repeats.single_flight(claim):
            raise RuntimeError
    async with asyncio.timeout(60), repeats.single_flight(claim):
        pass
