"""Standing in: named by who is away, bounded, recorded, ended at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.approvals import member, person
from support.office import NS, STAFF, Office

from pdp.core.errors import Forbidden, InvalidRequest, NotFound
from pdp.service.approvals import delegations
from pdp.service.approvals.delegations import StandIn

OPERATOR = person("oz", roles=frozenset({"operate"}))
DAY_NS = 24 * 3600 * NS


def week(office: Office, deputy: str = "h-dan", **fields: object) -> StandIn:
    return replace(StandIn(deputy, office.clock.at, office.clock.at + 7 * DAY_NS, "away"), **fields)  # type: ignore[arg-type]


async def test_named_seen_ended_and_recorded(office: Office) -> None:
    made, _ = await office.people.delegations.add(person("bob"), week(office))
    assert (made.absent, made.deputy, made.until_ns - made.from_ns) == ("h-bob", "h-dan", 7 * DAY_NS)
    for who in (person("bob"), person("dan"), OPERATOR):
        assert [each.id for each in await office.people.delegations.list(who)] == [made.id]
    assert await office.people.delegations.list(person("ann")) == ()
    await office.people.delegations.end(person("dan"), made.id)
    assert await office.people.delegations.list(OPERATOR) == ()
    added, ended = office.records("delegation")
    assert (added["event"], added["by"], ended["event"], ended["by"]) == ("added", "h-bob", "ended", "h-dan")
    assert office.store.value(added["id"], "reason").data == b'"away"'


async def test_an_operator_names_one_for_somebody_else(office: Office) -> None:
    made, _ = await office.people.delegations.add(OPERATOR, week(office, absent="h-bob"))
    assert made.absent == "h-bob"
    for deputy in ("h-dan", "h-cat"):
        with pytest.raises(Forbidden) as e:
            await office.people.delegations.add(person("dan"), week(office, deputy, absent="h-bob"))
        assert e.value.code == "delegation.not_yours"


async def test_an_operator_makes_no_operator_a_deputy(office: Office) -> None:
    """Neither itself, by whatever account, nor another one, who might return the favour."""
    office.staff.set(*STAFF, member("ozma", "operators", "red"))
    for who, deputy in ((OPERATOR, "h-oz"), (OPERATOR, "h-ozma"), (person("cat", roles=OPERATOR.roles), "h-cat")):
        with pytest.raises(Forbidden) as e:
            await office.people.delegations.add(who, week(office, deputy, absent="h-bob"))
        assert e.value.code == "delegation.operator"
    made, _ = await office.people.delegations.add(person("bob"), week(office, "h-ozma"))
    assert made.deputy == "h-ozma"  # who is away may choose one


async def test_only_what_makes_sense(office: Office) -> None:
    now = office.clock.at
    wrong = {
        "deputy": (week(office, "h-bob"), week(office, "h-eve"), week(office, "h-nobody"), week(office, "")),
        "until": (
            week(office, until_ns=now),
            week(office, from_ns=now + 8 * DAY_NS),
            week(office, until_ns=now + 31 * DAY_NS),
        ),
        "reason": (week(office, reason="x" * 1001), week(office, reason="\0")),
    }
    for field, cases in wrong.items():
        for case in cases:
            with pytest.raises(InvalidRequest) as caught:
                await office.people.delegations.add(person("bob"), case)
            assert caught.value.field == field
    with pytest.raises(InvalidRequest, match="absent"):
        await office.people.delegations.add(person("stranger", human="account:x"), week(office))
    made, _ = await office.people.delegations.add(person("bob"), week(office, from_ns=1, until_ns=now + 30 * DAY_NS))
    assert made.from_ns == now  # never from the past on


async def test_nobody_has_deputies_without_end(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delegations, "MAX_DEPUTIES", 1)
    await office.people.delegations.add(person("bob"), week(office))
    with pytest.raises(InvalidRequest, match="one too many"):
        await office.people.delegations.add(person("bob"), week(office, "h-cat"))
    await office.people.delegations.add(person("ann"), week(office))


async def test_others_end_nothing(office: Office) -> None:
    made, _ = await office.people.delegations.add(person("bob"), week(office))
    for who, name in ((person("ann"), made.id), (OPERATOR, "nothing")):
        with pytest.raises(NotFound, match=r"There is no such delegation\."):
            await office.people.delegations.end(who, name)


async def test_a_deputy_who_leaves_stands_in_for_nobody(office: Office) -> None:
    asked = await office.open()
    await office.people.delegations.add(person("bob"), week(office))
    await office.approve("dan", asked, behalf=person("bob").account)
    office.staff.set(*(replace(m, active=m.id != "h-dan") for m in STAFF))
    view = await office.people.queue.get(person("ann"), asked.id)
    assert not view.tally.met
