"""The places of admission: one tenant, by however many callers, leaves some to the others, and so does one caller."""

from contextlib import AsyncExitStack
from typing import Any

import pytest

from pdp.core.call.request import Caller, Peer, Role
from pdp.core.call.shares import DEFAULTS
from pdp.core.errors import DeadlineTooShort, Overloaded, Unauthenticated
from pdp.decide.admission import Admission, Limits
from pdp.decide.commit import Recorder
from pdp.decide.shares import Shares
from pdp.store.sqlite.store import SqliteStore


class Known:
    """Callers by `tenant/caller`, which each shows as its token."""

    async def authenticate(self, peer: Peer, _at_ns: int) -> Caller:
        tenant, _, name = peer.authorization.partition("/")
        if not name:
            raise Unauthenticated("caller.unknown", "nobody's")
        return Caller(name, tenant, frozenset({Role.DECIDE}), frozenset({"*"}))


@pytest.fixture
def admission(store: SqliteStore, recorder: Recorder, clock: Any) -> Admission:
    limits = Limits(max_in_flight=16, max_waiting=8)
    return Admission(Known(), recorder, clock, limits, Shares(DEFAULTS, limits.max_in_flight, clock))


async def entered(admission: Admission, inside: AsyncExitStack, who: str, *, waits: bool) -> bool:
    """Whether a call is let in; it then stays."""
    peer = Peer("unix", (), who)
    try:
        await inside.enter_async_context(admission.admit(peer, Role.DECIDE, "Decide", None, waits=waits))
    except Overloaded:
        return False
    return True


@pytest.mark.parametrize(("waits", "most", "own"), [(False, 16, 15), (True, 8, 6)])
async def test_one_tenant_leaves_places_to_others(admission: Admission, waits: bool, most: int, own: int) -> None:
    for _ in range(2):  # and nothing is kept of who left
        async with AsyncExitStack() as inside:
            crowd = [f"a/{i % 3}" for i in range(2 * most)]
            assert sum([await entered(admission, inside, who, waits=waits) for who in crowd]) == own
            others = [f"b/{i}" for i in range(most)]
            assert sum([await entered(admission, inside, who, waits=waits) for who in others]) == most - own
            assert not await entered(admission, inside, "c/1", waits=waits)
            assert await entered(admission, inside, "a/1", waits=not waits)  # the others are counted by themselves


@pytest.mark.parametrize(("waits", "most", "own"), [(False, 16, 14), (True, 8, 6)])
async def test_one_caller_leaves_places_to_others(admission: Admission, waits: bool, most: int, own: int) -> None:
    async with AsyncExitStack() as inside:
        assert sum([await entered(admission, inside, "a/1", waits=waits) for _ in range(2 * most)]) == own
        assert await entered(admission, inside, "b/1", waits=waits)


async def test_who_is_refused_takes_no_place(admission: Admission) -> None:
    async with AsyncExitStack() as inside:
        for _ in range(32):
            with pytest.raises(Unauthenticated):
                await entered(admission, inside, "nobody", waits=False)
        assert admission.in_flight == 0
        assert sum([await entered(admission, inside, "a/1", waits=False) for _ in range(32)]) == 14
    assert admission.in_flight == 0


async def test_a_deadline_that_is_nearer_than_the_least_is_refused(admission: Admission) -> None:
    peer, least_s = Peer("unix", (), "a/1"), admission.limits.min_budget_ms / 1000
    with pytest.raises(DeadlineTooShort):
        async with admission.admit(peer, Role.DECIDE, "Decide", least_s * 0.9):
            pass
    async with admission.admit(peer, Role.DECIDE, "Decide", least_s):
        assert admission.in_flight == 1
