"""Declassification: people remove labels of what an agent has read for a subject, by an ordinary request.

An operator asks, the configured groups vote; neither subject nor requester nor agent has a vote. The vote
that fills the last seat removes exactly the rows that were shown, in its own commit. What puts the label there again
after the request was opened leaves another row, which stays. Hashed values (`core.atoms`) stay too: a person says
that what was read may do no harm, not whose each value is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pdp.core.approvals import records
from pdp.core.approvals.directory import Person
from pdp.core.approvals.notices import NO_NOTIFICATIONS, Notifications
from pdp.core.approvals.queries import ApprovalQuery, Page
from pdp.core.approvals.quorum import satisfiable, wanted_by
from pdp.core.approvals.requirement import Requirement
from pdp.core.approvals.rows import Account, Approval, Call, Shown
from pdp.core.approvals.states import OPEN, Event, State
from pdp.core.approvals.steps import Move, Open, RemoveLabels, ShowLabels
from pdp.core.approvals.vote import Cast
from pdp.core.check import NS
from pdp.core.digest import Json, canonical, keyed_index, lasting_index, sha256_hex
from pdp.core.errors import Forbidden, InvalidRequest, NotFound, Outdated
from pdp.core.sessions import ELSEWHERE, UNOBSERVED, ordered, pair_index
from pdp.core.stored import Commit, LabelRow, RecordRef
from pdp.ports import Clock, Directories, Store
from pdp.service.approvals.canaries import OPERATE
from pdp.service.approvals.requests import short_code
from pdp.service.approvals.retry import IdempotentCommits, RequestKey, retry_on_conflict
from pdp.service.commit import Recorder
from pdp.service.state import ServiceState

SERVER, TOOL = "pdp:sessions", "declassify"  # no registered server has a colon in its id
TITLE = "Remove labels of what an agent has read"
# These say what nobody knows, so nobody can vouch for it; only a context reset ends them.
_NOT_KNOWN = frozenset({UNOBSERVED, ELSEWHERE})
_EFFECTS = (
    "Removes these labels from this subject with this agent, in every session, once all seats are filled.",
    "Of each label the first call that put it there is shown; later calls may have brought more of the same.",
    "A call that puts a label there after this request was opened is not undone.",
    "Values that were read stay known as others' values, and what a memory holds keeps its labels.",
)


@dataclass(frozen=True, slots=True)
class OperatorTerms:
    """Whom an operator's request needs, and for how long it waits for them."""

    seats: tuple[tuple[str, int], ...]  # group id, how many of it
    deny_quorum: int
    ttl_seconds: int
    min_assurance: str
    id: str = "declassify"
    code: str = "session.declassify"

    def element(self) -> bytes:
        """The requirement, as policy would write it."""
        seats: list[Json] = [{"group_id": group, "n": n} for group, n in self.seats]
        return canonical(
            {
                "kind": "approval",
                "id": self.id,
                "code": self.code,
                "stage": 1,
                "ttl_seconds": self.ttl_seconds,
                "seats": seats,
                "deny_quorum": self.deny_quorum,
                "reason_required": True,
                "min_assurance": self.min_assurance,
            }
        )


@dataclass(frozen=True, slots=True)
class DeclassifyAsk:
    """What an operator wants removed, and why. `caller`: whom it asked through."""

    request_id: str
    subject: Account
    agent: str
    labels: tuple[str, ...]
    reason: str
    caller: str


@dataclass(frozen=True, slots=True)
class Declassifications:
    """`ApprovalService.RequestDeclassification`, and what the last vote of such a request does. Without `terms`
    nobody declassifies."""

    store: Store
    running: ServiceState
    directories: Directories
    commits: IdempotentCommits
    recorder: Recorder
    clock: Clock
    index_key: bytes
    terms: OperatorTerms | None = None
    notifications: Notifications = NO_NOTIFICATIONS

    async def ask(self, person: Person, asked: DeclassifyAsk) -> tuple[str, RecordRef]:
        """Open a request. Returns its id.

        Raises Forbidden `person.not_operator`; NotFound `declassify.no_label`, where one of the labels is not there;
        InvalidRequest; Outdated `declassify.not_configured`, `declassify.open` (a request for this subject and agent
        waits), `approval.unsatisfiable`; Unavailable.
        """
        if OPERATE not in person.roles:
            raise Forbidden("person.not_operator", "Only an operator asks for a declassification.")
        if self.terms is None:
            raise Outdated(
                "declassify.not_configured", "Nobody may remove labels here; approvals.declassify says who may."
            )
        return await retry_on_conflict(lambda: self._ask(person, asked))

    async def _ask(self, person: Person, asked: DeclassifyAsk) -> tuple[str, RecordRef]:
        subject = [asked.subject.issuer, asked.subject.id]
        content: tuple[Json, ...] = (subject, asked.agent, sorted(asked.labels), asked.reason)
        key = self.commits.key("declassify", person, asked.request_id, *content)
        answered = await self.store.in_thread(self._answered, key)
        if answered is not None:
            return answered
        at = self.clock.now_ns()
        rows = await self.store.in_thread(self._rows, person.tenant, asked)
        calls = await self.store.in_thread(self._calls, rows)
        approval = self._request(person, asked, at)
        shown = self._shown(approval, asked, calls)
        fresh = tuple(row for row in rows if not row.shown)
        opened = self.recorder.event(
            approval.tenant,
            "approval",
            lambda stamp: records.opened(stamp, approval, shown),
            (Open(approval, shown), *self.notifications.opened(approval, at)),
            at,
        )
        told = self.recorder.event(
            approval.tenant,
            "declassification",
            lambda stamp: records.declassification(stamp, approval, shown, rows, person, "asked"),
            (ShowLabels(approval.id, fresh),),
            at,
        )
        # a call that was decided before, and found the label there, would not put it there again
        entries = (opened, replace(told, supersedes=True))
        return approval.id, await self.commits.commit(key, entries, (approval.id,), at)

    def _answered(self, key: RequestKey | None) -> tuple[str, RecordRef] | None:
        """The kept answer to this attempt. In a thread."""
        kept = self.commits.kept(key, 1)
        return None if kept is None else (str(kept[1]), self.commits.record(str(kept[0])))

    def _rows(self, tenant: str, asked: DeclassifyAsk) -> tuple[LabelRow, ...]:
        """The labels to remove, the oldest first. In a thread."""
        unknown = _NOT_KNOWN.intersection(asked.labels)
        if unknown:
            raise InvalidRequest(
                "labels", f"{', '.join(sorted(unknown))}: says what nobody has seen; only a context reset ends it"
            )
        query = ApprovalQuery(tenant, states=OPEN, server=SERVER, subject=asked.subject, agent=asked.agent)
        if self.store.approvals(query, Page(1)):
            raise Outdated("declassify.open", "A request about this subject and agent waits already.")
        there = self._labels(tenant, asked.subject, asked.agent)
        missing = sorted(set(asked.labels) - {row.label for row in there})
        if missing:
            known = ", ".join(sorted({row.label for row in there} - _NOT_KNOWN)) or "none"
            raise NotFound(
                "declassify.no_label",
                f"This subject with this agent has no label {', '.join(missing)}; there are: {known}.",
            )
        return ordered(row for row in there if row.label in asked.labels)

    def _labels(self, tenant: str, subject: Account, agent: str) -> tuple[LabelRow, ...]:
        return self.store.labels(pair_index(self.index_key, tenant, subject.issuer, subject.id, agent))

    def _calls(self, rows: Iterable[LabelRow]) -> list[Json]:
        """Each label with the call that put it there, as the log has it. In a thread."""
        found: list[Json] = []
        for row in rows:
            stored = self.store.record(row.decision_id)
            record = json.loads(stored.record) if stored is not None else {}
            call = {"server": record["server"]["id"], "name": record["target"]["name"]} if "target" in record else {}
            instant = datetime.fromtimestamp(row.at_ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            put_by: dict[str, Json] = {**call, "decision_id": row.decision_id, "at": instant, "code": row.code}
            found.append({"label": row.label, "put_by": put_by})
        return found

    def _request(self, person: Person, asked: DeclassifyAsk, at_ns: int) -> Approval:
        assert self.terms is not None  # noqa: S101 - `ask` has looked
        element = self.terms.element()
        approval_id = self.recorder.new_id(at_ns)
        tenant, subject, policy = person.tenant, asked.subject, self.running.policy
        call = Call(
            digest=sha256_hex(self.recorder.new_salt()),  # of no call: it settles none
            subject=subject,
            actors=(person.account,),  # the requester acts for the subject, so has no vote
            agent=asked.agent,
            caller=asked.caller,
            session="",
            server=SERVER,
            tool=TOOL,
            manifest_sha256="",
        )
        approval = Approval(
            id=approval_id,
            tenant=tenant,
            index=keyed_index(self.index_key, TOOL, tenant, subject.issuer, subject.id, asked.agent),
            kind="approval",
            state=State.PENDING,
            version=1,
            call=call,
            requirement=element,
            title=TITLE,
            risk="high",
            short_code=short_code(approval_id),
            subject_index=lasting_index(self.index_key, "subject", tenant, subject.issuer, subject.id),
            decision_id=self.recorder.new_id(at_ns),
            policy_revision=policy.revision if policy is not None else "",
            policy_digest=policy.digest if policy is not None else sha256_hex(b""),
            opened_ns=at_ns,
            expires_ns=at_ns + self.terms.ttl_seconds * NS,
            changed_ns=at_ns,
        )
        if not satisfiable(_wanted(element), call, self.directories.of(tenant)):
            raise Outdated("approval.unsatisfiable", "Nobody in the directory could give the approval that it needs.")
        return approval

    def _shown(self, approval: Approval, asked: DeclassifyAsk, calls: list[Json]) -> Shown:
        return Shown(
            approval_id=approval.id,
            tenant=approval.tenant,
            subject_index=approval.subject_index,
            salt=self.recorder.new_salt(),
            arguments=canonical({"labels": calls, "reason": asked.reason}),
            secrets=(),
            task="",
            task_source="none",
            effects=_EFFECTS,
        )

    def removal(self, approval: Approval, accepted: Cast, person: Person, at_ns: int) -> tuple[Commit, ...]:
        """What the vote that fills the last seat does besides, in its commit; nothing of any other. In a thread.

        Raises Outdated where the rows are not there as they were shown, or another quorum is configured by now.
        """
        if not is_declassification(approval) or accepted.event is not Event.FILL:
            return ()
        if self.terms is None or self.terms.element() != approval.requirement:
            raise Outdated("approval.stale", "Other approvals are configured for this by now; have it asked anew.")
        shown = self.store.shown(approval.id)
        wanted = {
            (each["label"], each["put_by"]["decision_id"])
            for each in (json.loads(shown.arguments)["labels"] if shown is not None else ())
        }
        there = self._labels(approval.tenant, approval.call.subject, approval.call.agent)
        rows = tuple(row for row in there if row.shown and (row.label, row.decision_id) in wanted)
        if shown is None or not wanted or {(row.label, row.decision_id) for row in rows} != wanted:
            raise Outdated("approval.stale", "These labels are gone, or were put there anew; have it asked anew.")
        kept = shown
        done = self.recorder.event(
            approval.tenant,
            "declassification",
            lambda stamp: records.declassification(stamp, approval, kept, rows, person, "removed"),
            (RemoveLabels(rows),),
            at_ns,
        )
        approved = replace(approval, state=State.APPROVED, version=accepted.move.version + 1)
        spent = records.Spent(done.record_id, self.recorder.new_id(at_ns), "")
        move = Move(approval.id, approved.version, Event.REDEEM, at_ns, redemption_id=spent.redemption_id)
        redeemed = self.recorder.event(
            approval.tenant, "approval", lambda stamp: records.moved(stamp, approved, move, spent), (move,), at_ns
        )
        return done, redeemed


def is_declassification(approval: Approval) -> bool:
    """Whether a request is about labels, and about no call."""
    return (approval.call.server, approval.call.tool) == (SERVER, TOOL)


def _wanted(element: bytes) -> Requirement:
    wanted = wanted_by(element)
    if wanted is None:
        raise ValueError("the configured approval of a declassification is none")
    return wanted
