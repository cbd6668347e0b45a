"""Rows of the store as values, and the unit of a commit. Times are Unix nanoseconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar, get_args

from pdp.core.approvals.hourly_limits import Question
from pdp.core.approvals.rows import Account, Answered, Approval, Call, Delegation, LastClaims, Vote
from pdp.core.approvals.steps import Advance, Step
from pdp.core.approvals.turned_down import NEVER, TurnedDown
from pdp.core.bytes.digest import leaf_hash
from pdp.core.call.budgets import BudgetReservation, BudgetRow
from pdp.core.call.labels import LabelRow
from pdp.core.call.mandates import MandateRow
from pdp.core.errors import Unavailable
from pdp.core.frozen import frozen
from pdp.core.record.artefact import Artefact

RefusalCount = tuple[str, str, str, int]  # tenant, caller, code, how many
PEOPLE_AT_ONCE = 2  # of one read for a call: its subject and the actor; a longer chain of actors takes another read


@frozen
class RecordRef:
    """Reference to a record: log origin, index (from 0), RFC 6962 leaf hash."""

    log: str
    index: int
    leaf_hash: bytes


@frozen
class ValueRow:
    """Values behind a record's commitments: erasable, keyed by subject. `data` is canonical JSON."""

    record_id: str
    tenant: str
    subject: str  # keyed index of (issuer, subject), "" when there is none
    path: str  # what the commitment's path says, e.g. "input" or "arguments"
    salt: bytes
    data: bytes


@frozen
class CallRow:
    """The erasable salt of one call, found again by a keyed HMAC index that is never logged."""

    index: str
    tenant: str
    subject: str
    salt: bytes
    digest: str
    created_ns: int


@frozen
class SessionRow:
    """A session, by keyed indexes: whose it is, how long that is kept, and its state.

    In a commit `calls` and `denials` are what comes to them; a task, a parent and a tree stay what they were first.
    """

    index: str
    owner: str  # subject and agent, for this session alone
    until_ns: int  # the row is kept until then
    state: str = "open"  # "open" | "ended"
    opened_ns: int = 0
    used_ns: int = 0
    over_ns: int = 0  # an open one is over from then on
    calls: int = 0
    denials: int = 0
    parent: str = ""  # the session that started it
    tree: str = ""  # the pair of the first session of its task: its own, unless another agent started it
    task: str = ""  # keyed digest of the vouched task statement
    scopes: str = ""  # those of the token that began it, as JSON
    address: str = ""  # keyed index of the first client address that was told


@frozen
class SessionOpening:
    """A session that has begun, as long as no record says that it ended: by keyed index and instant, with its caller
    and the name that records have for it. From `due_ns` on it may be over by time; its row says whether it is."""

    index: str
    opened_ns: int
    tenant: str
    caller: str
    session: str
    due_ns: int


@frozen
class SessionOver:
    """A record says that a session ended: the openings of this index from one instant until before another are gone
    with it. `by_time`: Conflict where there is none any more, for then another process has recorded it."""

    index: str
    from_ns: int
    before_ns: int
    by_time: bool = False


@frozen
class PairChange:
    """Changes of what is known about a pair besides its labels. `awaits` are decisions whose results are to be
    inspected, `inspected` those whose were. `reset`: all labels, atoms and awaited results go first."""

    pair: str
    reset: bool = False
    awaits: tuple[str, ...] = ()
    inspected: tuple[str, ...] = ()


@frozen
class AtomRow:
    """A hashed atom (`core.record.atoms`) of what a pair, or a memory, has seen (`place`, a keyed index), with the
    decision that it first came with. `session`: the one that it traces a value in; "" for what untraces."""

    place: str
    session: str
    atom: int
    decision_id: str
    at_ns: int


@frozen
class SeenText:
    """The hashed atoms of one text, for a place. Those for a `session` are kept only where the result of the decision
    is awaited there, so none that came before a context reset, and replace what is older than `since_ns`. What the
    place `memory` holds comes along."""

    place: str
    subject: str  # as of `ValueRow`
    decision_id: str
    at_ns: int
    atoms: tuple[int, ...]
    session: str = ""
    since_ns: int = 0
    memory: str = ""


@frozen
class ReplyRow:
    """A stored answer. `content` is the keyed HMAC of what was asked."""

    key: str
    content: str
    kind: str  # "decide" | "list"
    effect: str
    reply: bytes  # opaque to the store; in the encoding of its writer
    epochs: str  # policy digest, registry digest, switch epoch
    valid_until_ns: int
    created_ns: int


@frozen
class PersonRow:
    """The erasable mapping of one pseudonym of records: the person that it stands for, and the keyed index by which
    both the pseudonym and an erasure find the row. `issuer` is of accounts only. A person may have several."""

    pseudonym: str
    tenant: str
    subject: str  # keyed index: of an account the one of `ValueRow`
    kind: str  # "account" | "human" (of the directory) | "name" (a subject without issuer, of a switch)
    issuer: str
    id: str


@frozen
class SwitchRow:
    """One kill switch. `scope` is everything | tenant | server | tool | agent | subject."""

    tenant: str  # "" for every tenant (only with scope everything)
    scope: str
    server: str  # for scope server and tool, else ""
    value: str  # tool name, agent id, subject id; "" for everything, tenant and server
    engaged: bool
    reason: str
    by: str
    at_ns: int
    until_ns: int = 0  # 0 = until it is released


@frozen
class RevocationRow:
    """Tokens with one mark, by its keyed index, that were issued until an instant; when the last of them has expired.
    Of a row that comes again the later instants stay."""

    index: str
    tenant: str
    event: str
    by: str  # the transmitter
    until_issued_ns: int
    until_ns: int


@frozen
class RaiseMark:
    """Move a high-water mark to a value; it never goes back."""

    name: str
    value: int


@frozen
class SettleRefusals:
    """The record tells of these refusals: they are counted no longer once it is durable."""

    counts: tuple[RefusalCount, ...]


@frozen
class Supersede:
    """Nothing that was decided before the commit is to become durable after it."""


# A row is written by the rule of its table: a pseudonym, a label, an artefact or an opening that is there stays as it
# is; a session is bound, or kept for longer; of a budget its share is taken. Conflict where a call has another salt,
# a session is another's, or a budget has not enough left; InvalidRequest where a reply's key is taken.
CommitStep: TypeAlias = (
    ValueRow
    | CallRow
    | ReplyRow
    | PersonRow
    | Artefact
    | SwitchRow
    | RevocationRow
    | SessionRow
    | SessionOpening
    | SessionOver
    | PairChange
    | SeenText
    | LabelRow
    | BudgetReservation
    | RaiseMark
    | SettleRefusals
    | Supersede
    | Step
)
_Row = TypeVar("_Row")
ANSWER_STEPS = frozenset(get_args(Step))  # that change answers of people or of the judge
SUPERSEDING = frozenset((SwitchRow, RevocationRow, Supersede))  # that make history of all that was decided before
MARKING = frozenset((RaiseMark, Advance))  # that may set a high-water mark


@frozen
class Commit:
    """One atomic write: a record, and the steps that are carried out exactly when it is durable, in their order."""

    record_id: str  # UUIDv7; the decision id for decisions
    kind: str
    tenant: str
    at_ns: int
    record: bytes  # pdp.record/1, canonical; at most 60,000 bytes
    steps: tuple[CommitStep, ...] = ()  # all of them, or the entry is refused with Conflict
    epoch: int | None = None  # of the switches that it was decided under; Conflict where there is another by now

    def with_steps(self, *steps: CommitStep) -> Commit:
        """The same with further steps."""
        return replace(self, steps=self.steps + steps)

    def of(self, kind: type[_Row]) -> list[_Row]:
        """Its steps of one type."""
        return [step for step in self.steps if type(step) is kind]

    def has(self, kinds: frozenset[type]) -> bool:
        """Whether a step is of one of these types."""
        return not kinds.isdisjoint(map(type, self.steps))


@frozen
class StoredRecord:
    """A record as it lies in the log."""

    ref: RecordRef
    record_id: str
    tenant: str
    record: bytes


@dataclass(slots=True)
class LogRow:
    """A record as the consumers of the log read it: hashed once, and parsed once for all of them. `data` is empty
    where it is archived."""

    index: int
    leaf: bytes
    data: bytes
    _intact: bool | None = None
    _record: Mapping[str, Any] | None = None

    @property
    def intact(self) -> bool:
        """Whether it is what was written."""
        if self._intact is None:
            self._intact = self.leaf == leaf_hash(self.data)
        return self._intact

    def check(self, reader: str) -> None:
        """Raises Unavailable `record.archived`, for a `reader` that needs it, and `store.corrupt`."""
        if not self.data:
            raise Unavailable("record.archived", f"record {self.index} is archived; {reader} needs audit.archive")
        if not self.intact:
            raise Unavailable(
                "store.corrupt", f"record {self.index} is not what was written; find out who changed it"
            )

    @property
    def record(self) -> Mapping[str, Any]:
        """What it says."""
        if self._record is None:
            self._record = json.loads(self.data)
        return self._record


@frozen
class Cosigning:
    """What the witnesses were last asked for: a checkpoint of `size` records. `missing_ns`: since when none has their
    quorum, 0 where this one has; it `lacks` these, by name."""

    size: int
    missing_ns: int
    lacks: tuple[str, ...]


@frozen
class SignedCheckpoint:
    """A signed tree head: the note (C2SP), and what it states. `at_ns`: when it was signed."""

    note: str
    size: int
    root: bytes
    at_ns: int


@frozen
class Proof:
    """An RFC 6962 path to the root of a checkpoint. `number`: the leaf's index, or the size of the earlier tree."""

    number: int
    hashes: tuple[bytes, ...]
    head: SignedCheckpoint


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
