"""The read of one call: its keys in the store, and the stored data about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from pdp.core.call.budgets import BudgetRow
from pdp.core.call.mandates import MandateRow
from pdp.core.frozen import frozen
from pdp.core.rows.approvals import (
    NEVER,
    Account,
    Answered,
    Approval,
    Call,
    Delegation,
    LastClaims,
    Question,
    TurnedDown,
    Vote,
)
from pdp.core.rows.log import CallRow, ReplyRow
from pdp.core.rows.sessions import AtomRow, LabelRow, SessionRow

PEOPLE_AT_ONCE = 2  # of one read for a call: its subject and the actor; a longer chain of actors takes another read


@frozen
class CallKeys:
    """Keys of one call in the store. An empty one is not looked for; `call` has no digest, which its row tells."""

    tenant: str
    at_ns: int
    since_ns: int  # from when on refusals and withdrawals count
    reply: str = ""  # of the kept answer to a repeated request
    session: str = ""  # keyed index
    parent: str = ""  # of the first session of the task that a new one belongs to; `tree`, the pair whose that is
    tree: str = ""
    pair: str = ""  # keyed index of subject and agent; `also`, whose labels count too
    also: str = ""
    atoms: tuple[int, ...] = ()  # that the pair, and the task's, may have seen
    budgets: tuple[str, ...] = ()  # keyed indexes of those that count the call
    index: str = ""  # the call's keyed index; the fields below go with it
    call: Call | None = None
    redeemed: str = ""  # of the kept answer that redeemed an approval of the call
    asker: str = ""  # of the judge's refusals; empty where there is no judge
    asked_ns: int = 0  # since when questions to people of the tenant are looked for; 0: they are not
    people: tuple[str, ...] = ()  # `PersonRow.subject` of at most `PEOPLE_AT_ONCE` whose pseudonyms are not in memory


@frozen
class StoredCall:
    """The store's data about one call, by one consistent read."""

    reply: ReplyRow | None = None
    redeemed: ReplyRow | None = None
    session: SessionRow | None = None
    parent: SessionRow | None = None  # of the session, or of the one to come
    labels: tuple[LabelRow, ...] = ()  # of the pairs of the keys, of the session's tree and of its parent's
    atoms: frozenset[AtomRow] = frozenset()  # those of the keys that were seen
    awaited: int = 0  # results that they were allowed to get and that have not been inspected
    row: CallRow | None = None
    unknown_outcomes: int = 0
    turned_down: TurnedDown = NEVER
    judge_refusals: int = 0
    approvals: tuple[Approval, ...] = ()  # of exactly this call, newest first
    votes: Mapping[str, tuple[Vote, ...]] = field(default_factory=dict)  # by approval, oldest first
    delegations: tuple[Delegation, ...] = ()  # of the tenant, where there are votes
    seen: Mapping[Account, LastClaims] = field(default_factory=dict)  # of voters whose groups only their claims said
    answers: tuple[Answered, ...] = ()  # the judge's
    budgets: tuple[BudgetRow, ...] = ()  # of the keys, for the call's task and for none
    questions: tuple[Question, ...] | None = None  # to people of the tenant, since `CallKeys.asked_ns`; None: unread
    people: Mapping[str, str] = field(default_factory=dict)  # pseudonyms by `PersonRow.subject`, of `CallKeys.people`
    mandate: MandateRow | None = None  # the active one of the session
    restored_ns: int = 0  # when the store was made from a copy, 0 for never: what was used before is not known
    away: bool = False  # the state of sessions cannot be read now: neither the session nor what is awaited is known
