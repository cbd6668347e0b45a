"""Searches of AuthZEN: the certification scenario, pages, and who tries what."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.environment import Stage, StillClock
from support.for_each import for_each
from support.records import (
    ACTIVE,
    ALICE,
    ARCHIVED,
    BOB,
    READ,
    SEARCH,
    USERS,
    WRITE,
    asks,
    permitted,
    plan,
    post,
    sent,
)
from support.world import WEDNESDAY_NS, World, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
USER, RECORD = {"type": "user"}, {"type": "record"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authzen")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(folder: Path) -> AsyncIterator[World]:
    async with running(folder, plan(), Stage(StillClock(WEDNESDAY_NS), approvals=True)) as found:
        yield found


def records(world: World) -> list[dict[str, Any]]:
    return [json.loads(record) for _, record in world.process.store.records_from(0, 100_000)]


async def found(world: World, searched: str, body: Any, **more: Any) -> Any:
    said = await post(world, SEARCH + searched, body, **more)
    assert (said.status_code, said.headers["content-type"]) == (200, "application/json"), said.text
    return said.json()


_BY_ALICE = {"results": [{"type": "record", "id": "record-1"}, {"type": "record", "id": "record-2"}]}
_READERS = {"results": [{"type": "user", "id": "alice"}, {"type": "user", "id": "bob"}]}

SCENARIO: list[tuple[str, dict[str, Any], Any]] = [
    ("subject", {"subject": USER, "action": READ, "resource": ACTIVE}, _READERS),
    ("subject", {"subject": ALICE, "action": READ, "resource": ACTIVE}, _READERS),
    (
        "subject",
        {"subject": USER, "action": WRITE, "resource": sent(ARCHIVED, status="archived")},
        {"results": [{"type": "user", "id": "bob"}]},
    ),
    ("resource", {"subject": ALICE, "action": READ, "resource": RECORD}, _BY_ALICE),
    ("resource", {"subject": ALICE, "action": READ, "resource": ACTIVE}, _BY_ALICE),
    (
        "resource",
        {"subject": sent(BOB, role="admin"), "action": WRITE, "resource": RECORD},
        {"results": [{"type": "record", "id": "record-2"}]},
    ),
    ("action", {"subject": ALICE, "resource": ACTIVE}, {"results": [{"name": "read"}, {"name": "write"}]}),
    (
        "action",
        {"subject": sent(BOB, role="admin"), "resource": sent(ARCHIVED, status="archived")},
        {"results": [{"name": "read"}, {"name": "write"}]},
    ),
    ("action", {"subject": {**ALICE, "id": "nonexistent-user"}, "resource": ACTIVE}, {"results": []}),
    ("subject", {"subject": {"type": "spaceship"}, "action": READ, "resource": ACTIVE}, {"results": []}),
    ("resource", {"subject": ALICE, "action": READ, "resource": {"type": "spaceship"}}, {"results": []}),
    ("action", {"subject": ALICE, "resource": {"type": "spaceship", "id": "1"}}, {"results": []}),
    ("subject", {"subject": USER, "action": READ, "resource": {**ACTIVE, "id": "record-9"}}, {"results": []}),
]


@for_each("context", [None, {"ip": "192.168.1.1"}])
@for_each(("searched", "body", "wanted"), SCENARIO)
async def test_the_searches_of_the_certification(
    world: World, searched: str, body: dict[str, Any], wanted: Any, context: Any
) -> None:
    assert await found(world, searched, {**body, **({"context": context} if context else {})}) == wanted


@for_each(
    ("searched", "body"),
    [
        ("subject", {"subject": USER, "resource": ACTIVE}),
        ("resource", {"action": READ, "resource": RECORD}),
        ("action", {"subject": ALICE}),
        ("subject", {"subject": USER, "action": READ, "resource": RECORD}),
        ("resource", {"subject": USER, "action": READ, "resource": RECORD}),
        ("action", {"subject": USER, "resource": ACTIVE}),
        ("subject", {"subject": {}, "action": READ, "resource": ACTIVE}),
        ("subject", {"subject": USER, "action": READ, "resource": ACTIVE, "page": []}),
        ("subject", {"subject": USER, "action": READ, "resource": ACTIVE, "page": {"limit": 0}}),
        ("subject", {"subject": USER, "action": READ, "resource": ACTIVE, "page": {"limit": True}}),
        ("subject", {"subject": USER, "action": READ, "resource": ACTIVE, "page": {"limit": "1"}}),
        ("subject", {"subject": USER, "action": READ, "resource": ACTIVE, "page": {"token": 1}}),
        ("subject", {"subject": USER, "action": READ, "resource": ACTIVE, "page": {"token": "1.1.x"}}),
    ],
)
async def test_what_is_malformed_is_refused(world: World, searched: str, body: dict[str, Any]) -> None:
    said = await post(world, SEARCH + searched, body)
    assert said.status_code == 400
    assert isinstance(said.json(), str)


_ASKED = {"subject": USER, "action": READ, "resource": ACTIVE}


async def test_pages(world: World) -> None:
    """One result at a time; a follow-up with the token alone keeps the limit."""
    first = await found(world, "subject", {**_ASKED, "page": {"limit": 1}})
    assert first["results"] == [{"type": "user", "id": "alice"}]
    assert first["page"]["count"] == 1
    second = await found(world, "subject", {**_ASKED, "page": {"token": first["page"]["next_token"]}})
    assert second == {"page": {"next_token": "", "count": 1}, "results": [{"type": "user", "id": "bob"}]}
    whole = await found(world, "subject", {**_ASKED, "page": {"limit": 9}})
    assert (whole["results"], whole["page"]["next_token"]) == (_READERS["results"], "")


async def test_a_token_is_of_its_search_and_caller(folder: Path) -> None:
    other = {"match": {"issuer": "urn:pdp:development", "subject": "other"}, "tenant": "acme", "roles": ["decide"]}
    made = plan()
    vouches = {"claims": [USERS], "properties": True}
    made.settings["identity"]["callers"]["other"] = {**other, "servers": ["records"], "may_assert": vouches}
    async with running(folder / "two", made) as world:
        first = await found(world, "subject", {**_ASKED, "page": {"limit": 1}})
        token = first["page"]["next_token"]
        assert token
        for searched, body, caller in [
            ("subject", {**_ASKED, "page": {"token": token}}, "other"),
            ("subject", {**_ASKED, "resource": ARCHIVED, "page": {"token": token}}, "app"),
            ("subject", {**_ASKED, "context": {"a": 1}, "page": {"token": token}}, "app"),
            ("subject", {**_ASKED, "page": {"token": token, "limit": 2}}, "app"),
            ("subject", {**_ASKED, "page": {"token": token.replace("1.1.", "0.1.", 1)}}, "app"),
            ("subject", {**_ASKED, "page": {"token": token.replace("1.1.", "1.9.", 1)}}, "app"),
            ("resource", {"subject": ALICE, "action": READ, "resource": RECORD, "page": {"token": token}}, "app"),
        ]:
            assert (await post(world, SEARCH + searched, body, caller=caller)).status_code == 400, (body, caller)
        assert (await post(world, SEARCH + "subject", {**_ASKED, "page": {"token": token}})).status_code == 200


async def test_a_page_looks_at_so_many_candidates_and_says_that_there_are_more(folder: Path) -> None:
    async with running(folder / "few", plan({"search_candidates": 1})) as world:
        seen, page = [], {}
        for _ in range(2):
            said = await found(world, "resource", {"subject": ALICE, "action": WRITE, "resource": RECORD, **page})
            seen += said["results"]
            page = {"page": {"token": said["page"]["next_token"]}} if "page" in said else {}
        assert seen == [{"type": "record", "id": "record-1"}]
        assert page == {"page": {"token": ""}}


async def test_a_search_is_one_record_and_changes_nothing_else(world: World) -> None:
    before = len(records(world))
    await found(world, "subject", {"subject": USER, "action": WRITE, "resource": ARCHIVED})
    (made,) = records(world)[before:]
    wanted = {
        "kind": "explain",
        "caller": "app",
        "decision": None,
        "target": "generic:record/write",
        "effect": "allow",
    }
    assert {name: made[name] for name in wanted} == wanted
    assert (made["evaluations"], made["server"], made["effect"]) == (2, "records", "allow")
    await found(world, "action", {"subject": {**ALICE, "id": "mallory"}, "resource": ACTIVE})
    assert records(world)[-1]["effect"] == "deny"
    assert records(world)[-1]["target"] == "generic:record/*"


async def test_who_may_not_ask_finds_nothing(world: World, folder: Path) -> None:
    assert (await post(world, SEARCH + "subject", _ASKED, caller=None)).status_code == 401
    assert (await post(world, SEARCH + "subject", _ASKED, caller="stranger")).status_code == 403
    async with running(folder / "else", plan(servers=["billing"])) as elsewhere:
        assert (await post(elsewhere, SEARCH + "subject", _ASKED)).status_code == 403
    async with running(folder / "mute", plan(may_assert={"properties": True})) as mute:
        assert await found(mute, "subject", _ASKED) == {"results": []}


async def test_searches_are_off_by_default(folder: Path) -> None:
    async with running(folder / "off", plan({"search_candidates": 0})) as off:
        assert (await post(off, SEARCH + "subject", _ASKED)).status_code == 404


async def test_what_waits_for_people_is_denied_and_not_found(folder: Path) -> None:
    """Subjects of an issuer that does not say that they are people need an approval; a search asks for none."""
    elsewhere = {"user": {"issuer": "https://else.example"}}
    vouches = {"claims": ["https://else.example"]}
    async with running(folder / "kinds", plan({"subjects": elsewhere}, may_assert=vouches)) as world:
        before = len(records(world))
        assert await found(world, "action", {"subject": ALICE, "resource": ACTIVE}) == {"results": [{"name": "read"}]}
        assert len(records(world)) == before + 1
        assert await permitted(world, asks(ALICE, READ, ACTIVE))
        assert not await permitted(world, asks(ALICE, WRITE, ACTIVE))
        decided = [record["effect"] for record in records(world) if record["kind"] == "decision"]
        assert decided == ["allow", "pending"]
