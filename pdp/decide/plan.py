"""Plans: what the calls of one kind have in common, kept from call to call and filled in at each.

A plan is made of a call whose every check passed, by the code that answered it: texts come from the one encoder, run
once on marks. Both tokens are in its key and are verified on every call, by the code that always does; so are the
arguments, and everything that the store says. A call in which anything is unusual finds no plan and takes the plain
path. Some calls are answered on both paths before the answer leaves (`Decide`); where they differ, a bug of ours, the
call is denied, and no plan is used until the process starts again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from operator import attrgetter, is_not
from typing import TYPE_CHECKING, Any, TypeAlias

from cachetools import LRUCache

from pdp.core.approvals.rows import Call
from pdp.core.bytes.digest import continued, json_text, keyed_index
from pdp.core.bytes.template import Template
from pdp.core.bytes.trace_context import without_context
from pdp.core.call.facts import Asserted, CallerFact, Facts, Identity, ServerFact, TargetFact, document
from pdp.core.call.mandates import NO_MANDATE
from pdp.core.call.methods import TOOL_CALL, label_of
from pdp.core.call.questions import UNREAD
from pdp.core.call.registered import PinnedTool
from pdp.core.call.request import Ask, Caller, ToolTarget
from pdp.core.check import Check
from pdp.core.outcome import Outcome
from pdp.core.outcome.answer import ENFORCED, Answer
from pdp.core.outcome.elements import QueryTemplate
from pdp.core.ports import KeptStatus
from pdp.core.record.atoms import AtomHashes
from pdp.core.record.encoding import Sealed, Stamp, rfc3339
from pdp.core.text.credentials import OwnToken
from pdp.decide.state import Snapshot
from pdp.host.part import Part

if TYPE_CHECKING:
    from pdp.decide.decision import Decision

CHECKED = 64  # of so many calls that a plan served, one is answered on both paths
BUDGET = 16 << 20  # bytes of one tenant's plans: what one tenant asks pushes out no other's
MOST_RECORDS = 8  # templates of records in one plan
ONCE = 4_096  # kinds of one tenant's calls that are remembered as having come
_LARGEST = 64 << 10  # bytes of one plan
_ENTRY_BYTES = 4_096  # of a plan without its texts

# Of a request: what a plan is found by; what is filled in; and what has to be empty. Every field is in one of the
# three, or is no part of what is asked: a test says so.
KEYED = (
    "method", "credential", "protocol_version", "client_capabilities", "supported_obligations", "client_address",
    "server_peer", "working_folder", "target.server", "target.name", "target.definition", "target.definition_digest",
    "target.kind",
)  # fmt: skip
FILLED = ("request_id", "call_id", "until_ns", "meta", "target.arguments", "session.id", "session.task")
EMPTY = (
    "observation", "extra", "resume_token", "client_answers", "session.parent", "session.handle",
    "session.task_token", "session.task_by_agent", "session.context_reset",
)  # fmt: skip
RecordKind: TypeAlias = tuple[bytes, bool, bool]
_keyed, _unusual = attrgetter(*KEYED), attrgetter(*EMPTY)


@dataclass(frozen=True, slots=True)
class RecordTemplate:
    """The record and the kept answer of one outcome of a plan's calls."""

    outcome: Outcome
    record: Template  # of `record_places`
    reply: Template  # of `reply_places`

    def filled(self, stamp: Stamp, facts: Facts, sealed: Sealed, valid_until_ns: int) -> bytes:
        """The record, of whatever length."""
        subject = facts.identity.subject
        person = stamp.person("account", subject.issuer or "", subject.id or "")
        return self.record.filled(*record_places(stamp, person, facts, sealed, valid_until_ns)).encode()


_there = partial(is_not, None)


def record_kind(decision: Decision) -> RecordKind:
    """What a record of a plan's call depends on besides what is filled in."""
    return decision.said, decision.facts.session.known, bool(decision.ask.session.id)


def record_places(stamp: Stamp, person: str, facts: Facts, sealed: Sealed, valid_until_ns: int) -> tuple[str, ...]:
    """What differs between the records of one outcome of a plan's calls. None of it needs escaping."""
    own = (stamp.id, stamp.time_ns, rfc3339(stamp.time_ns), stamp.monotonic_ns, person, facts.call_digest)
    rest = (sealed.arguments, facts.arguments.size, sealed.input, valid_until_ns, sealed.request)
    keyed = (sealed.session, sealed.token)
    return tuple(map(str, filter(_there, (*own, *rest, *keyed))))


def reply_places(answer: Answer) -> tuple[str, ...]:
    """The same of kept answers."""
    return answer.decision_id, str(answer.valid_until_ns), answer.call_digest, answer.session_handle


@dataclass(slots=True, eq=False)
class CallPlan:
    """One kind of call: one caller and subject by their tokens, one tool as presented. Nothing in it depends on
    arguments, session, instant or store."""

    snapshot: Snapshot
    since_ns: int  # the instant that it was made of
    until_ns: int  # from then on something that it was made of is over
    caller: Caller
    verified: Identity  # of the credential, as it was verified: the very value, or it is another token's
    identity: Identity  # with what the signed list says of the agent
    prompts: Mapping[str, str]  # of the judge
    audiences: tuple[str, ...]
    caller_fact: CallerFact
    server: ServerFact
    switch: Check
    target: TargetFact
    pinned: PinnedTool
    own: tuple[OwnToken, ...]
    asserted: Asserted
    call: Call  # without a session and a digest
    pair: str
    also: str
    subject_index: str
    hashes: AtomHashes
    rights: str
    epochs: str  # of the policy, the registry and the switches with which it holds, for kept answers
    bound: Template  # of a session's id: what the call's digest binds, a list of JSON that goes on
    query: QueryTemplate
    request: bytes  # of a request's key: a list of JSON that goes on
    content: Template  # of call id, session, task and the digest of the arguments
    records: dict[RecordKind, RecordTemplate] = field(default_factory=dict)
    last: RecordKind | None = None  # of its last record that had no template: what comes twice gets one

    def claim(self, ask: Ask) -> tuple[bytes, bytes]:
        """What the key of a request, and the digest of its content, are made over."""
        session, digest = ask.session, sha256(ask.target.arguments).hexdigest()
        content = self.content.filled(
            json_text(ask.call_id), json_text(session.id), json_text(session.task), f'"{digest}"'
        )
        meta = without_context(ask.meta) if ask.meta else b""
        if meta:  # the last of the list, where there is any
            content = f'{content[:-2]},"{sha256(meta).hexdigest()}"]]'
        return continued(self.request, ask.request_id), content.encode()

    def record_of(self, decision: Decision) -> RecordTemplate | None:
        """The template for what a decision came to, if there is one."""
        if decision.evidence:
            return None
        found = self.records.get(record_kind(decision))
        return found if found is not None and found.outcome == decision.outcome else None

    @property
    def size(self) -> int:
        """Bytes, about."""
        definition = len(json_text(str(self.pinned.definition)))
        texts = sum(len(each.record) + len(each.reply) for each in self.records.values())
        return _ENTRY_BYTES + definition + len(self.query) + texts


class Marks:
    """Texts and numbers that nobody else knows, to mark places with; none is used twice."""

    def __init__(self, index_key: bytes) -> None:
        self._key, self._drawn = index_key, 0

    def text(self) -> str:
        self._drawn += 1
        return f"m{keyed_index(self._key, 'mark of a plan', self._drawn)}"

    def texts(self, count: int) -> tuple[str, ...]:
        return tuple([self.text() for _ in range(count)])

    def number(self) -> int:
        """Within int64, of 19 digits, and an instant of this century."""
        return 3_000_000_000_000_000_000 + int(self.text()[1:17], 16) % 10**18


class Plans:
    """The plans of a process, by tenant; of each the least recently used goes first."""

    def __init__(
        self,
        index_key: bytes,
        *,
        erasures: Callable[[], int] = lambda: 0,
        prompts: Callable[[], Mapping[str, str]] = dict,
        budget: int = BUDGET,
        checked: int = CHECKED,
    ) -> None:
        """`erasures` counts how often somebody was erased: plans name their subject. `budget` is in bytes for each
        tenant; 0 keeps none."""
        self.on = budget > 0
        self.differed = False  # a call that was answered on both paths got two answers
        self.hits = self.misses = 0
        self.marks = Marks(index_key)
        self._erasures, self._prompts = erasures, prompts
        self._erased = erasures()
        self._budget, self._checked, self._served = budget, checked, 0
        self._tenants: dict[str, LRUCache[Any, CallPlan]] = {}
        self._came: dict[str, LRUCache[int, None]] = {}  # by tenant, hashes of kinds

    @property
    def status(self) -> KeptStatus:
        """How they do, for operators."""
        size = sum(int(each.currsize) for each in self._tenants.values())
        return KeptStatus(self.on, self.differed, self.hits, self.misses, size)

    @property
    def part(self) -> Part:
        """What a running process does with them: it tells whether any was found wrong."""
        return Part("plans", level=lambda telemetry, _: telemetry.level("pdp.plans.differed", int(self.differed)))

    def find(self, ask: Ask, caller: Caller, snapshot: Snapshot, at_ns: int) -> CallPlan | None:
        """The plan of a usual call, while all that it was made of holds; its subject is still to be verified."""
        if not self.on or unusual(ask, caller):
            return None
        if self._erased != self._erasures():
            self._tenants.clear()
            self._erased = self._erasures()
        plans = self._tenants.get(caller.tenant)
        plan = None if plans is None else plans.get(_key(ask, caller))
        if plan is None or not self._holds(plan, caller, snapshot, at_ns):
            self.misses += 1
            return None
        self.hits += 1
        return plan

    def _holds(self, plan: CallPlan, caller: Caller, snapshot: Snapshot, at_ns: int) -> bool:
        """Whether the plain path would still find what the plan was made of."""
        if not plan.since_ns <= at_ns < plan.until_ns or plan.caller != caller or plan.prompts != self._prompts():
            return False
        if plan.snapshot is snapshot:
            return True
        before, tenant = plan.snapshot, caller.tenant
        same = before.policy is snapshot.policy and before.switches is snapshot.switches
        same = same and before.worse is snapshot.worse and before.differences is snapshot.differences
        if not same or before.registry.pins(tenant) != snapshot.registry.pins(tenant):
            return False
        until_ns = _until(snapshot, plan.target, tenant, plan.identity, at_ns)
        plan.snapshot, plan.until_ns = snapshot, until_ns
        return at_ns < until_ns

    def comes_again(self, ask: Ask, caller: Caller) -> bool:
        """Whether a usual call of this kind came before: what comes once is not worth a plan."""
        if unusual(ask, caller):
            return False
        came, kind = self._came.setdefault(caller.tenant, LRUCache(ONCE)), hash(_key(ask, caller))
        again = kind in came
        came[kind] = None
        return again

    def due(self) -> bool:
        """Whether this call, which a plan serves, is to be answered on both paths."""
        self._served += 1
        return self._served % self._checked == 0

    def wants_record(self, decision: Decision, plan: CallPlan) -> bool:
        """Whether a template is to be made of this decision's record: where one like it had none before."""
        kind = record_kind(decision)
        usual = not (decision.evidence or decision.effects.labels or decision.entries or not decision.said)
        if not usual or decision.outcome.requirements or kind in plan.records or len(plan.records) >= MOST_RECORDS:
            return False
        before, plan.last = plan.last, kind
        return before == kind and decision.answer.enforcement == ENFORCED

    def give_up(self) -> None:
        """Use no plan from now on."""
        self.on, self.differed = False, True
        self._tenants.clear()

    def keep(self, ask: Ask, plan: CallPlan) -> None:
        """Keep a plan, or what was added to it."""
        if self.on and plan.size <= min(_LARGEST, self._budget) and self._erased == self._erasures():
            tenant = plan.caller.tenant
            plans = self._tenants.setdefault(tenant, LRUCache(self._budget, getsizeof=attrgetter("size")))
            plans[_key(ask, plan.caller)] = plan


def unusual(ask: Ask, caller: Caller) -> bool:
    """Whether a call takes the plain path, whatever else holds."""
    if type(ask.target) is not ToolTarget or ask.method != TOOL_CALL or any(_unusual(ask)):
        return True
    return bool(ask.session.task) and not caller.may_assert.task


def _key(ask: Ask, caller: Caller) -> tuple[Any, ...]:
    return (caller.name, caller.token, *_keyed(ask))


def _until(snapshot: Snapshot, target: TargetFact, tenant: str, identity: Identity, at_ns: int) -> int:
    label = label_of(target.kind, target.name)
    return snapshot.registry.steady_until(tenant, target.server, label, identity.agent.id or "", at_ns)


def until_of(decision: Decision) -> int:
    """Until when a plan may be made of this decision; 0 where none may. Its every check has passed, and nothing in it
    is unusual."""
    facts, policy, verified = decision.facts, decision.snapshot.policy, decision.verified
    checks = (
        facts.identity.subject.check, facts.identity.agent.check, facts.server.check, facts.switch,
        decision.target.check, facts.arguments.check, facts.session.check,
    )  # fmt: skip
    if decision.call is None or verified is None or not all(map(attrgetter("ok"), checks)):
        return 0
    if unusual(decision.ask, decision.caller) or facts.arguments.findings or facts.waivers:
        return 0
    if facts.mandate is not NO_MANDATE:
        return 0
    if policy.budgets or policy.reads_questions or facts.questions is not UNREAD or decision.claim is None:
        return 0
    return _until(decision.snapshot, decision.target, decision.caller.tenant, decision.identity, decision.at_ns)


def marked_content(ask: Ask, encoded: Callable[[Ask], str], marks: Marks) -> Template | None:
    """The template of a request's content."""
    call_id, name, task, arguments = marks.texts(4)
    session = replace(ask.session, id=name, task=task)
    target = replace(ask.target, arguments=arguments.encode())
    text = encoded(replace(ask, call_id=call_id, session=session, target=target, meta=b""))
    digest = sha256(arguments.encode()).hexdigest()
    return Template.of(text, [f'"{each}"' for each in (call_id, name, task, digest)])


def marked_query(decision: Decision, marks: Marks) -> QueryTemplate | None:
    """The template of queries, by one such call."""
    policy = decision.snapshot.policy
    made = document(decision.facts, (), decision.at_ns, revision=policy.revision, packs=policy.packs)
    return QueryTemplate.of(made, marks.texts(7))
