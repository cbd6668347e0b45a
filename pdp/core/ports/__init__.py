"""The ports. Rooms implement these protocols; `runtime.bootstrap` hands them to those that use them.

Nothing here does I/O. Times are Unix nanoseconds unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pdp.core.bytes.digest import Json
from pdp.core.call.budgets import Budget
from pdp.core.call.facts import (
    AgentFact,
    AgentRegistration,
    ArgumentsFact,
    Identity,
    ServerFact,
    SessionFact,
    TargetFact,
)
from pdp.core.call.playbooks import Playbook
from pdp.core.call.registered import PinnedTool, RegistryChange, RegistryPins, ReleaseChange
from pdp.core.call.request import Caller, Credential, Peer, ServerPeer, SessionAsk
from pdp.core.call.term import Term
from pdp.core.check import Check
from pdp.core.judge.judge_input import JudgeInput, Opinion
from pdp.core.outcome.elements import EngineQuery
from pdp.core.outcome.policy import Pack
from pdp.core.outcome.released import ReadReleases
from pdp.core.ports.approvals import (
    Answers,
    Channel,
    Directories,
    DirectorySource,
    EvidenceSource,
    Passkeys,
    ResumeTokens,
)
from pdp.core.ports.store import Archive, Log, Store
from pdp.core.record.inspection import Inspection
from pdp.core.record.search import RecordQuery
from pdp.core.record.stored import CallKeys, Cosigning, Proof, SessionRow, SignedCheckpoint, StoredCall
from pdp.core.text.credentials import OwnToken

__all__ = [
    "Answers",
    "Archive",
    "Callers",
    "Channel",
    "Clock",
    "Content",
    "Directories",
    "DirectorySource",
    "Engine",
    "Entropy",
    "EvidenceSource",
    "Judge",
    "KeptPolicies",
    "KeptStatus",
    "LoadedPolicy",
    "Log",
    "Passkeys",
    "PolicySource",
    "RecordIndex",
    "Registry",
    "RegistryView",
    "Releases",
    "RenewedSecret",
    "ResumeTokens",
    "Sessions",
    "SignedLog",
    "Store",
    "Subjects",
]


class Clock(Protocol):
    """The two clocks. Read once per request and pinned."""

    def now_ns(self) -> int:
        """Wall clock, Unix nanoseconds, never before the store's high-water mark. Raises Unavailable while it is not
        to be believed: nothing may be decided then."""
        ...

    def paced_ns(self) -> int:
        """The same, gone on by the monotonic clock while the wall clock is not to be believed: for what is recorded
        or told of this process itself, and decides nothing."""
        ...

    def monotonic_ns(self) -> int:
        """The monotonic clock, for durations and records."""
        ...

    def mark(self) -> int | None:
        """The high-water mark to persist now; None while the wall clock is not to be believed."""
        ...


class Entropy(Protocol):
    """Randomness, so that tests can pin it."""

    def bytes(self, count: int) -> bytes: ...


class Engine(Protocol):
    """One loaded, immutable bundle that answers questions. A new bundle is a new engine."""

    @property
    def name(self) -> str:
        """Which engine: `embedded` or `opa`."""
        ...

    @property
    def version(self) -> str:
        """Engine and version, for the record."""
        ...

    @property
    def workers(self) -> int:
        """Workers that are up; without any of its own, 1 when it can be asked."""
        ...

    async def evaluate(self, query: EngineQuery) -> bytes:
        """JSON of `data.pdp.decision`. Raises EngineFault (`policy.*`) or Overloaded; never returns late."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class KeptStatus:
    """The state of kept results of evaluation, and since the start how many were found, and not found."""

    on: bool = False
    differed: bool = False  # one that was evaluated again came out otherwise
    hits: int = 0
    misses: int = 0
    size_bytes: int = 0  # in memory


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """One bundle that passed the load gate, with the engine that answers for it."""

    revision: str
    digest: str
    org_digest: str
    packs: tuple[str, ...]
    engine: Engine
    valid: Callable[[Mapping[str, Json]], bool]  # does an input document match the schema
    valid_members: Callable[[Mapping[str, Json]], bool]  # do these members of one
    artefact: bytes  # the bundle, to be kept by digest
    about: tuple[Pack, ...] = ()  # for operators; empty for a kept bundle
    budgets: tuple[Budget, ...] = ()  # of the organisation's data
    reads_questions: bool = False  # whether packs read how often people are asked
    personal: tuple[str, ...] | None = None  # countries whose personal data the organisation protects; None: none
    playbooks: Mapping[str, Playbook] = field(default_factory=dict)  # by name, pack/name


class PolicySource(Protocol):
    """The source of bundles: folder, load gate, engine."""

    async def load(self, active: str | None) -> LoadedPolicy | None:
        """Read the bundle, gate it, start its engine. None when its digest equals `active`. Raises BundleFault
        when it must not become active; the last good one then stays."""
        ...


class KeptPolicies(Protocol):
    """Policies as they were, from what is kept by digest (`LoadedPolicy.artefact`)."""

    async def open(self, artefact: bytes) -> LoadedPolicy:
        """An engine of its own for that bundle, which the caller closes. The bundle passed the load gate when it
        became active and is not gated again. Raises EngineFault, BundleFault."""
        ...

    async def places(
        self, artefact: bytes, document: bytes, named: tuple[tuple[str, str, str], ...]
    ) -> tuple[tuple[str, int], ...]:
        """Where each of these stands: an element by pack, rule and code, or a check of the gate that the document did
        not pass ("", "gate", code). A file of the bundle and a line from 1; "" and 0 where that is not known.
        Raises EngineFault."""
        ...


class Callers(Protocol):
    """Authentication of callers (identity/principals)."""

    async def authenticate(self, peer: Peer, at_ns: int) -> Caller:
        """Raises Unauthenticated with a stable code (`caller.unauthenticated`, `caller.token_expired`, ...)."""
        ...


class Subjects(Protocol):
    """Authentication of subjects (identity/principals)."""

    async def identify(
        self, credential: Credential, *, caller: Caller, audiences: tuple[str, ...], at_ns: int
    ) -> Identity:
        """Verify a credential. Never raises for a bad one: the checks inside say what failed (`subject.*`,
        `agent.*`). `audiences` are the resources a token may name; empty means no token can pass."""
        ...

    def forget(self, issuer: str, subject: str) -> None:
        """What is remembered of a subject's tokens goes; the next one is verified whole."""
        ...

    def forget_before(self, used_ns: int, since_ns: int) -> None:
        """The same of each token that no call has shown after the first instant, or that is remembered from before
        the second: sessions in which it was shown are over by time."""
        ...

    def revocations(self) -> str:
        """Digest of the deny list that is in force; "" without one."""
        ...

    def key_status(self, at_ns: int) -> Mapping[str, Mapping[str, Json]]:
        """Per issuer: its tenant, source kind, number of keys, age in seconds; for GetStatus."""
        ...


class Releases(Protocol):
    """The source of releases of policy."""

    @property
    def demand(self) -> tuple[str, ...]:
        """The parts that have to be released."""
        ...

    async def reload(self, at_ns: int) -> ReleaseChange | None:
        """Look again; returns another release, or why the newest is refused. Nothing of it is in force yet: it is
        returned again until it is activated. Never raises."""
        ...

    def activate(self, change: ReleaseChange) -> None:
        """Put a recorded release into force. One that is refused leaves the one before."""
        ...

    async def read(self, at_ns: int) -> ReadReleases:
        """The release in force and the one that the file has now, for people to read; changes nothing. Of a file that
        no configured key has signed nothing is read. Never raises."""
        ...


class RegistryView(Protocol):
    """An immutable view of one verified registry (registry/view); pinned per request."""

    def above(self, high_water: Callable[[str], int]) -> RegistryView:
        """The same, but that nothing below the store's marks is used, which other processes may have raised since
        (`registry.rollback`); this very view where nothing is."""
        ...

    def pins(self, tenant: str) -> RegistryPins:
        """What the tenant's answers rest on."""
        ...

    def server(self, tenant: str, server: str, at_ns: int, peer: ServerPeer | None = None) -> ServerFact:
        """`server.unknown`, `server.expired` (set index out of date), ... in the check. `peer` is how the server
        proved itself to a caller that may vouch for it; None: the caller may not (`server.peer_unchecked`)."""
        ...

    def registration(self, tenant: str, agent: AgentFact, server: str, at_ns: int) -> AgentRegistration:
        """The agent in the signed list of agents."""
        ...

    def resource(self, tenant: str, server: str, at_ns: int) -> str:
        """The audience of tokens for the server, without a check of its peer; "" when it is not to be used at all."""
        ...

    def steady_until(self, tenant: str, server: str, label: str, agent: str, at_ns: int) -> int:
        """Until which instant, from this one on, a view with the same pins says the same of server, tool and agent; 0
        where that rests on more than pins and clock (what watchers saw, a set that fails)."""
        ...

    def servers(self, tenant: str) -> tuple[str, ...]:
        """Ids of all servers the index lists, sorted."""
        ...

    def tools(self, tenant: str, server: str, kind: str = "tool") -> tuple[str, ...]:
        """Names of all tools, prompts or resources the index lists for the server, in any state, sorted. A name of a
        resource is its URI, or a URI template."""
        ...

    def located(self, tenant: str, server: str, uri: str) -> tuple[str, Check]:
        """The name of the resource that a URI is read of, and `target.ambiguous` where several could be meant. What
        is not known has the URI as its name."""
        ...

    def target(  # noqa: PLR0913 - what is looked up, as whom, how
        self,
        tenant: str,
        server: str,
        name: str,
        presented: bytes | None,
        at_ns: int,
        *,
        kind: str = "tool",
        listing: bool = False,
    ) -> TargetFact:
        """The tool with its check: `tool.unknown`, `tool.unsigned`, `tool.expired`, `tool.withdrawn`,
        `tool.quarantined`, `tool.drifted`, `tool.not_presented`, `tool.unwatched`, `tool.corrupt`. Of a prompt or a
        resource (of other `kind`) the same with `target.*`.

        `listing`: the pinned definition itself will be shown, so none needs to be presented; one that is
        presented is compared all the same."""
        ...

    def pinned(self, tenant: str, server: str, name: str, kind: str = "tool") -> PinnedTool | None:
        """The verified manifest's content; None when there is none that verifies."""
        ...


class RenewedSecret(Protocol):
    """A private key, certificate or set of keys that a running process takes anew from where its setting says."""

    name: str  # of the setting

    async def look(self) -> Callable[[], Awaitable[None]] | None:
        """Read it, if its files changed: what puts it in force, or None. Raises Fault for what cannot be used, each
        time until that is mended."""
        ...


class Registry(Protocol):
    """The registry as loaded now, last-good for at most `max_stale`."""

    def view(self, at_ns: int) -> RegistryView: ...

    async def reload(self, at_ns: int) -> tuple[RegistryChange, ...]:
        """Read the files again; returns what changed, per tenant. Never raises: a set that cannot be read or
        does not verify keeps the last good one until `max_stale` has passed."""
        ...

    def status(self, at_ns: int) -> Mapping[str, Json]: ...

    def terms(self) -> tuple[Term, ...]:
        """Validity periods of the loaded sets and waivers."""
        ...


class Content(Protocol):
    """Looks into arguments (content/)."""

    async def checked(
        self,
        raw: bytes,
        tool: PinnedTool | None,
        own: tuple[OwnToken, ...] = (),
        whose: str = "",
        personal: tuple[str, ...] | None = None,
    ) -> ArgumentsFact:
        """Parse strictly, check against the pinned schema (compiled once per manifest digest), collect
        findings. Raises InvalidRequest for what is not a strict JSON object (duplicate keys, depth, size,
        integers beyond int64, ill-formed Unicode). `own`: the tokens that the call came with. What may take long is
        searched in another process, in turns of `whose` they are; where that fails the check is
        `arguments.unread`. `personal`: the countries of whose people personal data is looked for; None: of none."""
        ...

    def object(self, raw: bytes, field: str) -> Mapping[str, Json]:
        """Parse an optional strict JSON object (empty bytes give {}), bounded as arguments are; InvalidRequest names
        `field`."""
        ...

    def inspecting(
        self,
        tool: PinnedTool | None,
        content_type: str,
        *,
        error: bool,
        own: tuple[OwnToken, ...] = (),
        personal: tuple[str, ...] | None = None,
    ) -> Callable[[bytes], Inspection]:
        """What inspects one result of this tool: parses it strictly, checks it with the pinned output schema, finds
        what should not reach a model unseen. `error`: its caller says that it is one. The function is fit for a
        thread, where it may take seconds."""
        ...

    def definitions(self, raws: Iterable[bytes], field: str) -> tuple[Mapping[str, Json], ...]:
        """Parse tools' definitions, strict JSON objects that are bounded together; InvalidRequest names `field`. Fit
        for a thread."""
        ...


class Sessions(Protocol):
    """Session state (sessions/stored)."""

    def named(self, caller: Caller, identity: Identity, ask: SessionAsk) -> SessionAsk:
        """With the id that its handle stands for, in place of the handle; without an id where that does not
        verify."""
        ...

    def shared(self, caller: Caller, identity: Identity, target: TargetFact) -> tuple[str, str]:
        """The keys under which the store knows subject and agent, and what a server may remember of them; empty where
        these were not verified."""
        ...

    def keys(self, caller: Caller, identity: Identity, ask: SessionAsk, shared: tuple[str, str]) -> dict[str, Any]:
        """The fields of `CallKeys` under which the store knows the session, with what is `shared`; none where subject
        and agent were not verified."""
        ...

    def look(  # noqa: PLR0913, PLR0917 - what a session is known by
        self,
        caller: Caller,
        identity: Identity,
        ask: SessionAsk,
        at_ns: int,
        keys: CallKeys,
        stored: StoredCall,
        address: str | None = None,
    ) -> tuple[SessionFact, SessionRow | None]:
        """The session's facts, by what the store has; `session.identity_mismatch` when it belongs to someone else.
        `address` is the client's of a call, "" where its caller tells none; None of what is no call.
        The row is to become durable with the record of the answer: it counts the call, and binds a new session. None
        where there is no session of its own."""
        ...


class Judge(Protocol):
    """Sessions with a language model, each for one verdict. It holds no key and writes nothing down."""

    def prompts(self) -> Mapping[str, str]:
        """Prompt id to SHA-256 of what is loaded now (last good)."""
        ...

    async def opine(
        self, tenant: str, subject: str, prompt: str, judge_input: JudgeInput, *, within_s: float
    ) -> Opinion:
        """An opinion, of status `ok` or with the reason why there is none (`timeout` after `within_s` seconds of
        trying). It is shared with no other subject (a keyed index). Never raises, unless it is cancelled. The caller
        decides how long to wait for it."""
        ...

    def status(self) -> Mapping[str, Json]:
        """Status for GetStatus: `process` is "up" where it can be asked; model, restarts, parts of its isolation that
        hold and that do not."""
        ...

    async def reload(self) -> tuple[str, ...]:
        """Look at the prompts again; problems for the log, empty when all is well. What is broken stays as it was."""
        ...

    async def close(self) -> None: ...


class SignedLog(Protocol):
    """The tree over the records, and its checkpoints."""

    @property
    def cosigning(self) -> Cosigning | None:
        """How it stands with the witnesses; None before they were asked, and without any."""
        ...

    def latest(self) -> SignedCheckpoint:
        """The latest checkpoint. Raises NotFound before the first one."""
        ...

    async def covering(self, index: int) -> SignedCheckpoint:
        """The first checkpoint that covers a record, as soon as there is one."""
        ...

    async def inclusion(self, index: int, size: int = 0) -> Proof:
        """That a leaf is in the tree of the latest checkpoint. Raises NotFound, and OutOfRange where none covers it
        yet, or `size` is not the latest one's; 0 is always."""
        ...

    async def consistency(self, first: int, size: int = 0) -> Proof:
        """That the latest tree extends the one of `first` leaves; faults as of `inclusion`."""
        ...


class RecordIndex(Protocol):
    """Which records a search is about. What it names must be looked at again."""

    async def caught_up(self) -> None:
        """Cover all that is durable now. Raises Unavailable `search.behind` where that is far."""
        ...

    async def find(self, query: RecordQuery, before: int, most: int) -> tuple[tuple[int, ...], int]:
        """At most `most` indexes below `before` of records that seem to match, newest first; and the index below
        which to go on, 0 at the end. Raises Unavailable."""
        ...
