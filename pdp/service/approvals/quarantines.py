"""Lifting a quarantine: people agree, by an ordinary request, that a tool may be used again.

An operator asks, the configured groups vote; neither the requester has a vote nor the subject of the call in which
the tool did what it may not do. The vote that fills the last seat lifts exactly the quarantine that was shown, in its
own commit: where the tool was seen at it again meanwhile, it lifts nothing. What was observed is text of the tool's
making: people see it as they see arguments, with what cannot be seen made visible.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pdp.core import events
from pdp.core.approvals import records
from pdp.core.approvals.directory import Person
from pdp.core.approvals.notices import NO_NOTIFICATIONS, Notifications
from pdp.core.approvals.queries import ApprovalQuery, Page
from pdp.core.approvals.quorum import satisfiable, wanted_by
from pdp.core.approvals.rows import Account, Approval, Call, Shown
from pdp.core.approvals.states import OPEN, Event, State
from pdp.core.approvals.steps import Move, Open
from pdp.core.approvals.vote import Cast
from pdp.core.check import NS
from pdp.core.digest import Json, canonical, keyed_index, lasting_index, sha256_hex
from pdp.core.errors import Forbidden, NotFound, Outdated
from pdp.core.stored import Commit, RecordRef, SwitchRow
from pdp.core.switches import QUARANTINE
from pdp.ports import Clock, Directories, Store
from pdp.service.approvals.canaries import OPERATE
from pdp.service.approvals.declassify import OperatorTerms
from pdp.service.approvals.requests import short_code
from pdp.service.approvals.retry import IdempotentCommits, RequestKey, retry_on_conflict
from pdp.service.commit import Recorder
from pdp.service.quarantine import PATH
from pdp.service.state import ServiceState

SERVER = "pdp:quarantine"  # no registered server has a colon in its id
TITLE = "Lift a tool out of quarantine"
MOST_SEEN = 16  # records of one quarantine that people are shown, the newest first
_DOES = (
    "Lets this tool be called again, by everybody in the tenant whom policy lets, once all seats are filled.",
    "Its manifest permits what it permitted before; what it did is not permitted for the future.",
    "A caller that sees it at it again has it quarantined again; a request that was opened before then does nothing.",
)


@dataclass(frozen=True, slots=True)
class LiftAsk:
    """The tool that an operator wants used again, and why. `caller`: whom it asked through."""

    request_id: str
    server: str
    tool: str
    reason: str
    caller: str


@dataclass(frozen=True, slots=True)
class QuarantineLifts:
    """`ApprovalService.RequestQuarantineLift`, and what the last vote of such a request does. Without `terms` nobody
    lifts a quarantine."""

    store: Store
    running: ServiceState
    directories: Directories
    commits: IdempotentCommits
    recorder: Recorder
    clock: Clock
    index_key: bytes
    terms: OperatorTerms | None = None
    notifications: Notifications = NO_NOTIFICATIONS

    async def ask(self, person: Person, asked: LiftAsk) -> tuple[str, RecordRef]:
        """Open a request. Returns its id.

        Raises Forbidden `person.not_operator`; NotFound `quarantine.none`; InvalidRequest; Outdated
        `quarantine.not_configured`, `quarantine.open` (a request for this tool waits), `approval.unsatisfiable`;
        Unavailable.
        """
        if OPERATE not in person.roles:
            raise Forbidden("person.not_operator", "Only an operator asks that a quarantine be lifted.")
        if self.terms is None:
            raise Outdated(
                "quarantine.not_configured", "Nobody may lift a quarantine; approvals.lift_quarantine says who may."
            )
        return await retry_on_conflict(lambda: self._ask(person, asked))

    async def _ask(self, person: Person, asked: LiftAsk) -> tuple[str, RecordRef]:
        key = self.commits.key("lift", person, asked.request_id, asked.server, asked.tool, asked.reason)
        answered = await self.store.in_thread(self._answered, key)
        if answered is not None:
            return answered
        at = self.clock.now_ns()
        row = await self.store.in_thread(self._row, person.tenant, asked)
        seen, account = await self.store.in_thread(self._seen, row)
        approval = self._request(person, asked, account, at)
        shown = self._shown(approval, asked, row, seen)
        opened = self.recorder.event(
            approval.tenant,
            "approval",
            lambda stamp: records.opened(stamp, approval, shown),
            (Open(approval, shown), *self.notifications.opened(approval, at)),
            at,
        )
        return approval.id, await self.commits.commit(key, (opened,), (approval.id,), at)

    def _answered(self, key: RequestKey | None) -> tuple[str, RecordRef] | None:
        """The kept answer to this attempt. In a thread."""
        kept = self.commits.kept(key, 1)
        return None if kept is None else (str(kept[1]), self.commits.record(str(kept[0])))

    def _row(self, tenant: str, asked: LiftAsk) -> SwitchRow:
        """The quarantine, of which no request is open. In a thread."""
        row = self._quarantine(tenant, asked.server, asked.tool)
        if row is None:
            raise NotFound(
                "quarantine.none", "There is no such tool in quarantine; `pdp status` lists those that are."
            )
        query = ApprovalQuery(tenant, states=OPEN, server=SERVER, tool=_label(asked.server, asked.tool))
        if self.store.approvals(query, Page(1)):
            raise Outdated("quarantine.open", "A request about this tool waits already.")
        return row

    def _quarantine(self, tenant: str, server: str, tool: str) -> SwitchRow | None:
        place = (tenant, QUARANTINE, server, tool)
        rows = (row for row in self.store.switches() if row.engaged)
        return next((row for row in rows if (row.tenant, row.scope, row.server, row.value) == place), None)

    def _seen(self, row: SwitchRow) -> tuple[list[Json], Account | None]:
        """What the tool was seen to do, by the records of its quarantine, the newest first; for whom the first of
        these calls was made, where that is still kept. In a thread."""
        found: list[Json] = []
        account, record_id = None, row.reason
        while record_id and len(found) < MOST_SEEN:
            record = self._record(record_id)
            if not record:
                found.append({"record": record_id, "effects": "cannot be read now"})
                break
            value = self.store.value(record_id, PATH)
            instant = datetime.fromtimestamp(int(record["time_ns"]) // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            effects = json.loads(value.data) if value is not None and value.data else record["effects"]
            told = {name: record[name] for name in ("caller", "decision_id", "code")}
            found.append({"at": instant, **told, "record": record_id, "effects": effects})
            account = self._subject(record["decision_id"]) or account
            record_id = record["before"] or ""
        return found, account

    def _record(self, record_id: str) -> Mapping[str, Any]:
        stored = self.store.record(record_id)
        found: Mapping[str, Any] = json.loads(stored.record) if stored is not None and stored.record else {}
        return found

    def _subject(self, decision_id: str) -> Account | None:
        """For whom a call was made; None where that was erased."""
        value = self.store.value(decision_id, "input")
        subject = json.loads(value.data)["subject"] if value is not None and value.data else {}
        return Account(subject["issuer"] or "", subject["id"]) if subject.get("id") else None

    def _request(self, person: Person, asked: LiftAsk, account: Account | None, at_ns: int) -> Approval:
        assert self.terms is not None  # noqa: S101 - `ask` has looked
        element, approval_id = self.terms.element(), self.recorder.new_id(at_ns)
        tenant, mine, policy = person.tenant, person.account, self.running.policy
        call = Call(
            digest=sha256_hex(self.recorder.new_salt()),  # of no call: it settles none
            subject=mine,  # has no vote
            actors=() if account in (None, mine) else (account,),  # nor has this one
            agent="",
            caller=asked.caller,
            session="",
            server=SERVER,
            tool=_label(asked.server, asked.tool),
            manifest_sha256="",
        )
        if not satisfiable(_wanted(element), call, self.directories.of(tenant)):
            raise Outdated("approval.unsatisfiable", "Nobody in the directory could give the approval that it needs.")
        return Approval(
            id=approval_id,
            tenant=tenant,
            index=keyed_index(self.index_key, QUARANTINE, tenant, asked.server, asked.tool),
            kind="approval",
            state=State.PENDING,
            version=1,
            call=call,
            requirement=element,
            title=TITLE,
            risk="high",
            short_code=short_code(approval_id),
            subject_index=lasting_index(self.index_key, "subject", tenant, mine.issuer, mine.id),
            decision_id=self.recorder.new_id(at_ns),
            policy_revision=policy.revision if policy is not None else "",
            policy_digest=policy.digest if policy is not None else sha256_hex(b""),
            opened_ns=at_ns,
            expires_ns=at_ns + self.terms.ttl_seconds * NS,
            changed_ns=at_ns,
        )

    def _shown(self, approval: Approval, asked: LiftAsk, row: SwitchRow, seen: list[Json]) -> Shown:
        told: dict[str, Json] = {"server": asked.server, "tool": asked.tool, "seen": seen, "reason": asked.reason}
        return Shown(
            approval_id=approval.id,
            tenant=approval.tenant,
            subject_index=approval.subject_index,
            salt=self.recorder.new_salt(),
            arguments=canonical({**told, "quarantine": row.reason}),
            secrets=(),
            task="",
            task_source="none",
            effects=_DOES,
        )

    def lifting(self, approval: Approval, accepted: Cast, at_ns: int) -> tuple[Commit, ...]:
        """What the vote that fills the last seat does besides, in its commit; nothing of any other. In a thread.

        Raises Outdated where the tool is not in the quarantine that was shown, or another quorum is configured now.
        """
        if approval.call.server != SERVER or accepted.event is not Event.FILL:
            return ()
        if self.terms is None or self.terms.element() != approval.requirement:
            raise Outdated("approval.stale", "Other approvals are configured for this by now; have it asked anew.")
        shown = self.store.shown(approval.id)
        told = json.loads(shown.arguments) if shown is not None else {}
        row = self._quarantine(approval.tenant, told.get("server", ""), told.get("tool", ""))
        if row is None or row.reason != told["quarantine"]:
            raise Outdated("approval.stale", "The tool was seen again, or is lifted; have it asked anew.")
        change = events.Quarantined(
            "lifted", row.server, row.value, approval.call.caller, before=row.reason, approval=approval.id
        )
        done = self.recorder.event(
            approval.tenant, "quarantine", lambda stamp: events.quarantine(stamp, change, None), (), at_ns
        )
        approved = replace(approval, state=State.APPROVED, version=accepted.move.version + 1)
        spent = records.Spent(done.record_id, self.recorder.new_id(at_ns), "")
        move = Move(approval.id, approved.version, Event.REDEEM, at_ns, redemption_id=spent.redemption_id)
        redeemed = self.recorder.event(
            approval.tenant, "approval", lambda stamp: records.moved(stamp, approved, move, spent), (move,), at_ns
        )
        return replace(done, switch=replace(row, engaged=False, at_ns=at_ns)), redeemed


def _label(server: str, tool: str) -> str:
    return f"{server}/{tool}"


def _wanted(element: bytes) -> Any:
    wanted = wanted_by(element)
    if wanted is None:
        raise ValueError("the configured approval of a lift is none")
    return wanted
