"""Every cell of the table of states."""

import itertools

from support.for_each import for_each

from pdp.core.rows.states import FINAL, OPEN, TRANSITIONS, Event, State, follow

CELLS = {
    (State.PENDING, Event.VOTE): State.PENDING,
    (State.PENDING, Event.FILL): State.APPROVED,
    (State.PENDING, Event.REFUSE): State.DENIED,
    (State.PENDING, Event.UNSATISFIABLE): State.DENIED,
    (State.PENDING, Event.EXPIRE): State.EXPIRED,
    (State.PENDING, Event.CANCEL): State.CANCELLED,
    (State.APPROVED, Event.VOTE): State.APPROVED,
    (State.APPROVED, Event.REVOKE): State.REVOKED,
    (State.APPROVED, Event.EXPIRE): State.EXPIRED,
    (State.APPROVED, Event.CANCEL): State.CANCELLED,
    (State.APPROVED, Event.REOPEN): State.PENDING,
    (State.APPROVED, Event.REDEEM): State.REDEEMED,
}


@for_each(("state", "event"), list(itertools.product(State, Event)))
def test_what_happens_in_each_state(state: State, event: Event) -> None:
    row = follow(state, event)
    assert (row.after if row else None) == CELLS.get((state, event))
    assert row is None or row.timely == (event is not Event.EXPIRE)


def test_no_cell_stands_twice() -> None:
    assert len(TRANSITIONS) == len(CELLS)


def test_what_is_final_has_no_exit() -> None:
    over = {State.DENIED, State.EXPIRED, State.CANCELLED, State.REVOKED, State.REDEEMED}
    assert over == FINAL
    assert OPEN.isdisjoint(FINAL)
    assert not {row.before for row in TRANSITIONS} & FINAL
