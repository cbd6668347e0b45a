"""How long an agent waits after people turned its calls down: longer each time, never for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.for_each import for_each

from pdp.core.approvals.turned_down import LONGEST_NS, USUAL, Backoff
from pdp.core.check import NS
from pdp.core.rows.approvals import NEVER, TurnedDown

AT = 1_800_000_000 * NS
MINUTE = 60 * NS


@for_each(
    ("refusals", "withdrawals", "minutes"),
    [
        (0, 0, 0),
        (2, 0, 0),
        (1, 1, 0),
        (3, 0, 5),
        (0, 3, 5),
        (2, 2, 10),
        (5, 0, 20),
        (8, 0, 160),
        (9, 0, 240),
        (40, 60, 240),
        (2**62, 2**62, 240),
    ],
)
def test_each_one_beyond_the_second_doubles_the_wait(refusals: int, withdrawals: int, minutes: int) -> None:
    until = USUAL.until(TurnedDown(refusals, withdrawals, AT))
    assert until == (AT + minutes * MINUTE if minutes else 0)


def test_who_was_never_turned_down_never_waits() -> None:
    assert Backoff(after=0).until(NEVER) == 0
    assert Backoff(after=0).until(TurnedDown(1, 0, AT)) == AT + 5 * MINUTE
    assert Backoff(first_ns=0).until(TurnedDown(40, 0, AT)) == AT  # which is over


def test_as_soon_as_anybody_waits_one_waits_alone() -> None:
    assert [USUAL.alone(TurnedDown(n, 1, AT)) for n in range(4)] == [False, False, True, True]
    assert not Backoff(first_ns=0).alone(TurnedDown(40, 0, AT))


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 5), st.integers(0, LONGEST_NS))
def test_more_never_shortens_the_wait_and_it_has_an_end(
    refusals: int, withdrawals: int, after: int, first: int
) -> None:
    backoff = Backoff(after, first)
    wait = backoff.until(TurnedDown(refusals, withdrawals, AT))
    assert wait <= backoff.until(TurnedDown(refusals + 1, withdrawals, AT)) <= AT + LONGEST_NS
    assert wait == backoff.until(TurnedDown(withdrawals, refusals, AT))
