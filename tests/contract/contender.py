"""A process that races for a request, at the level of the store and of the pure functions that decide.

    contender.py LANES SEED OPTIONS

Reads one command per line (JSON) and answers each with a line. First `open` a request; then each lane decides on the
rows as they are (`decide`), so that all have read the same; then `commit`, all at once.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import approvals as make
from support.stored import Entropy

from pdp.core.approvals.redeem import evidence_state
from pdp.core.approvals.steps import Activate, Expect, Move, Open, Step
from pdp.core.check import NS
from pdp.core.errors import Conflict, Unavailable
from pdp.core.ports.commit import Commit
from pdp.core.rows.approvals import Approval, Vote
from pdp.core.rows.states import Event, State
from pdp.people.ballot import Ballot, Cast, cast
from pdp.store.opening import AnyStore, open_store
from pdp.store.options import StoreOptions

SOON = make.AT + NS


class Contender:
    """The store, and what each lane is about to commit."""

    def __init__(self, store: AnyStore, lanes: int) -> None:
        self.store = store
        self.loops = [asyncio.new_event_loop() for _ in range(lanes)]
        self.decided: list[Commit | None] = [None] * lanes
        self.together = threading.Barrier(lanes)

    def open(self, n: int, state: str, policy: str) -> str:
        """A request in this state, with the vote that it rests on; and the policy of before."""
        approval = make.approval(id=make.make_id(n), index=f"index-{n}")
        steps: tuple[Step, ...] = (Open(approval, make.shown(approval)), Activate(policy))
        if state == State.APPROVED:
            vote = replace(make.vote(number=n), approval_id=approval.id)
            steps = (*steps, Move(approval.id, 1, Event.FILL, SOON, vote=vote))
        self.loops[0].run_until_complete(self.store.commit(entry(n, steps)))
        return "opened"

    def decide(self, lane: int, n: int, act: str, record: int) -> str:
        approval = self.store.approval(make.TENANT, make.make_id(n))
        assert approval is not None
        votes = self.store.votes(approval.id)
        self.decided[lane] = entry(record, ACTS[act](approval, votes, record))
        return "decided"

    def commit(self, lanes: list[int]) -> str:
        """All lanes of this process at the same time; each has a thread and an event loop."""
        said = [""] * len(self.loops)

        def run(lane: int) -> None:
            made = self.decided[lane]
            assert made is not None
            if len(lanes) > 1:
                self.together.wait()
            try:
                self.loops[lane].run_until_complete(self.store.commit(made))
                said[lane] = "won"
            except Conflict:
                said[lane] = "lost"
            except Unavailable as fault:
                said[lane] = fault.code

        threads = [threading.Thread(target=run, args=(lane,)) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return " ".join(said[lane] for lane in lanes)

    def look(self, n: int, records: list[int]) -> str:
        """How it ended: the request, its votes, and where the lanes' records stand."""
        approval = self.store.approval(make.TENANT, make.make_id(n))
        assert approval is not None
        found = [self.store.record(make.make_id(record)) for record in records]
        return json.dumps(
            {
                "state": approval.state,
                "redemption": approval.redemption_id,
                "votes": len(self.store.votes(approval.id)),
                "records": [None if each is None else each.ref.index for each in found],
            }
        )


def entry(number: int, steps: tuple[Step, ...]) -> Commit:
    return Commit(make.make_id(number), "approval", make.TENANT, SOON, b'{"number":%d}' % number, steps)


def redeem(approval: Approval, votes: tuple[Vote, ...], record: int) -> tuple[Step, ...]:
    assert evidence_state(approval, make.wanted(), votes, make.asked().call, make.standing(SOON))[0] == "met"
    move = Move(approval.id, approval.version, Event.REDEEM, SOON, redemption_id=make.make_id(record), call_id="c")
    return Expect("before", 0), move


def vote(approval: Approval, votes: tuple[Vote, ...], record: int) -> tuple[Step, ...]:
    ballot = replace(make.ballot(approval, number=record), at_ns=SOON)
    return _cast(approval, votes, ballot)


def cancel(approval: Approval, votes: tuple[Vote, ...], record: int) -> tuple[Step, ...]:
    return _cast(approval, votes, Ballot("cancel", make.make_id(record), SOON), "sue")


def _cast(approval: Approval, votes: tuple[Vote, ...], ballot: Ballot, who: str = "bob") -> tuple[Step, ...]:
    made = cast(approval, make.shown(approval), votes, ballot, make.person(who), make.standing(SOON))
    assert isinstance(made, Cast)
    return (made.move,)


def expire(approval: Approval, _votes: tuple[Vote, ...], _record: int) -> tuple[Step, ...]:
    """By a process whose clock is ahead, so that both may be right."""
    return (Move(approval.id, approval.version, Event.EXPIRE, SOON),)


def activate(_approval: Approval, _votes: tuple[Vote, ...], _record: int) -> tuple[Step, ...]:
    return (Activate("after"),)


ACTS: dict[str, Callable[[Approval, tuple[Vote, ...], int], tuple[Step, ...]]] = {
    "redeem": redeem,
    "vote": vote,
    "cancel": cancel,
    "expire": expire,
    "activate": activate,
}


def main(lanes: str, seed: str, options: str) -> None:
    store = open_store(StoreOptions(**json.loads(options)), entropy=Entropy(seed))
    contender = Contender(store, int(lanes))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        command: dict[str, Any] = json.loads(line)
        sys.stdout.write(getattr(contender, command.pop("do"))(**command) + "\n")
        sys.stdout.flush()
    asyncio.run(store.close())


if __name__ == "__main__":
    main(*sys.argv[1:])
