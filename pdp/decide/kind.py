"""What calls of one kind have in common: one caller, one verified identity, one target as presented, one snapshot.

It is made of the first such call, used by that very call, and kept for the next ones. Nothing in it depends on
arguments, session or instant; both tokens are in its key, and are verified on every call. Of some calls it is made
again: where it differs, a bug of ours, the call is denied, and none is kept until the process starts again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, get_args

from cachetools import LRUCache

from pdp.core.approvals.rows import Call
from pdp.core.bytes.digest import json_text
from pdp.core.call.facts import Facts, Identity, TargetFact
from pdp.core.call.methods import label_of
from pdp.core.call.registered import PinnedTool
from pdp.core.call.request import Ask, Caller, Target
from pdp.core.outcome import Outcome, SharedFacts
from pdp.core.ports import KeptStatus
from pdp.core.record.atoms import AtomHashes
from pdp.core.record.encoding import Texts, Told
from pdp.core.text.credentials import OwnToken
from pdp.decide.state import Snapshot
from pdp.host.part import Part

DIFFERS = (
    "policy.kind",
    "What was kept of such calls is not what they are; nothing is kept until the next start. Report it.",
)
CHECKED = 64  # of so many calls of kept kinds, for one the kind is made again
BUDGET = 16 << 20  # bytes of one tenant's kinds: what one tenant asks pushes out no other's
MOST_TOLD = 8  # outcomes of one kind whose texts are kept
_LARGEST = 64 << 10  # bytes of one kind
_ENTRY_BYTES = 16_384  # of a kind without the tool's definition

# Of a request, what its kind is made of. Every other field is a call's own, and stands in `OWN`: a test says so.
KEYED = (
    "method", "credential", "protocol_version", "client_capabilities", "supported_obligations", "client_address",
    "server_peer", "working_folder",
)  # fmt: skip
OWN = (
    "request_id", "call_id", "target", "session", "observation", "extra", "resume_token", "client_answers", "meta",
    "until_ns",
)  # fmt: skip
ARGUMENTS = "arguments"  # of a target, which is of the kind else
_keyed = attrgetter(*KEYED)
_PRESENTED = {kind: attrgetter(*[f.name for f in fields(kind) if f.name != ARGUMENTS]) for kind in get_args(Target)}


@dataclass(slots=True)
class CallKind:
    """One kind of call. `call` and `bound` are of one whose every check has passed."""

    caller: Caller
    verified: Identity  # of the credential, before the signed list of agents
    facts: Facts  # without arguments, session and what the store says
    pinned: PinnedTool | None
    own_tokens: tuple[OwnToken, ...]
    call: Call | None  # without session and digest
    pair: tuple[str, str]  # keys of subject and agent, and of their memory on the server
    subject_index: str
    hashes: AtomHashes
    rights: str  # digest of what the identity may; "" where requests have no scope to be repeated in
    request: bytes  # what a request's key is made over, but for its id
    content: str  # the same of its content, with places for what is its own
    bound: tuple[bytes, bytes]  # what the call's digest binds, before and after the session
    record: Texts
    until_ns: int  # from then on something that it was made of is over; 0: it is not kept
    shared: SharedFacts = field(init=False, compare=False)
    sound: bool = field(default=True, compare=False)  # False: it was kept otherwise
    _told: dict[bytes, Told] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        self.shared = SharedFacts(self.facts)

    @property
    def target(self) -> TargetFact:
        return self.facts.targets[0]

    def told(self, said: bytes, outcome: Outcome, make: Callable[[], Told]) -> Told:
        """What a record says of an outcome, by the engine's answer that it is of."""
        kept = self._told.get(said)
        if kept is not None and (kept.outcome is outcome or kept.outcome == outcome):
            return kept
        made = make()
        if said and len(self._told) < MOST_TOLD:
            self._told[said] = made
        return made

    @property
    def size(self) -> int:
        """Bytes, about."""
        return _ENTRY_BYTES + (len(json_text(str(self.pinned.definition))) if self.pinned is not None else 0)


@dataclass(slots=True)
class _Kept:
    kind: CallKind
    snapshot: Snapshot
    since_ns: int
    until_ns: int


class Kinds:
    """The kinds of a process, by tenant; of each the least recently used goes first."""

    def __init__(
        self,
        *,
        erasures: Callable[[], int] = lambda: 0,
        prompts: Callable[[], Mapping[str, str]] = dict,
        budget: int = BUDGET,
        checked: int = CHECKED,
    ) -> None:
        """`erasures` counts how often somebody was erased: kinds name their subject. `prompts` are the judge's.
        `budget` is in bytes for each tenant; 0 keeps none."""
        self.on = budget > 0
        self.differed = False
        self.hits = self.misses = 0
        self._erasures, self._prompts = erasures, prompts
        self._erased = erasures()
        self._budget, self._checked = budget, checked
        self._tenants: dict[str, LRUCache[Any, _Kept]] = {}

    @property
    def status(self) -> KeptStatus:
        """How they do, for operators."""
        size = sum(int(each.currsize) for each in self._tenants.values())
        return KeptStatus(self.on, self.differed, self.hits, self.misses, size)

    @property
    def part(self) -> Part:
        """What a running process does with them: it tells whether any was found wrong."""
        return Part("kinds", level=lambda telemetry, _: telemetry.level("pdp.kinds.differed", int(self.differed)))

    def of(
        self,
        ask: Ask,
        caller: Caller,
        verified: Identity,
        snapshot: Snapshot,
        at_ns: int,
        make: Callable[[Ask, Caller, Identity, Snapshot, int], CallKind],
    ) -> CallKind:
        """The kind of a call. Raises InvalidRequest."""
        key = key_of(ask, caller)
        kept = self._find(key, caller, verified, snapshot, at_ns)
        if kept is not None:
            self.hits += 1
            if not self.due():
                return kept.kind
        kind = make(ask, caller, verified, snapshot, at_ns)
        if kept is None:
            self.misses += 1
            self._keep(key, _Kept(kind, snapshot, at_ns, kind.until_ns))
        elif kind != kept.kind:
            self.on, self.differed, kind.sound = False, True, False
            self._tenants.clear()
        return kind

    def due(self) -> bool:
        """Whether this kept kind is to be made again."""
        return self.hits % self._checked == 0

    def _find(self, key: Any, caller: Caller, verified: Identity, snapshot: Snapshot, at_ns: int) -> _Kept | None:
        if self._erased != self._erasures():
            self._tenants.clear()
            self._erased = self._erasures()
        kinds = self._tenants.get(caller.tenant)
        kept = None if kinds is None else kinds.get(key)
        return kept if kept is not None and self._holds(kept, caller, verified, snapshot, at_ns) else None

    def _holds(self, kept: _Kept, caller: Caller, verified: Identity, snapshot: Snapshot, at_ns: int) -> bool:
        """Whether a kind would be made of the same again."""
        kind = kept.kind
        if not (kept.since_ns <= at_ns < kept.until_ns and kind.facts.judge_prompts == self._prompts()):
            return False
        if not (kind.caller is caller or kind.caller == caller):
            return False
        if not (kind.verified is verified or kind.verified == verified):
            return False
        if kept.snapshot is snapshot:
            return True
        before, tenant = kept.snapshot, caller.tenant
        same = before.policy is snapshot.policy and before.switches is snapshot.switches
        same = same and before.worse is snapshot.worse and before.differences is snapshot.differences
        if not same or before.registry.pins(tenant) != snapshot.registry.pins(tenant):
            return False
        kept.snapshot, kept.until_ns = snapshot, steady_until(snapshot, kind.facts, tenant, at_ns)
        return at_ns < kept.until_ns

    def _keep(self, key: Any, kept: _Kept) -> None:
        kind = kept.kind
        if not self.on or kept.until_ns <= kept.since_ns or kind.size > min(_LARGEST, self._budget):
            return
        tenant = kind.caller.tenant
        kinds = self._tenants.setdefault(tenant, LRUCache(self._budget, getsizeof=lambda each: each.kind.size))
        kinds[key] = kept


def key_of(ask: Ask, caller: Caller) -> tuple[Any, ...]:
    """What a kind is found by."""
    target = ask.target
    return (caller.name, caller.token, type(target), _PRESENTED[type(target)](target), *_keyed(ask))


def steady_until(snapshot: Snapshot, facts: Facts, tenant: str, at_ns: int) -> int:
    """Until when caller, identity, server and target stay as they are on a snapshot; 0 where that is not known."""
    target, agent = facts.targets[0], facts.identity.agent
    label = label_of(target.kind, target.name)
    return snapshot.registry.steady_until(tenant, target.server, label, agent.id or "", at_ns)
