"""AuthZEN's access request profile (ARAP, draft of 2026-06-11): what people answer, for the caller that was denied.

A pending answer has asked them already, so a submission opens nothing and writes nothing: it names the requests that
are open. What an answer hands out is under a keyed digest of caller and question, and kept nowhere. An approval that
comes back with a question is told about, and permits nothing: the call finds its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hmac import compare_digest

from cachetools import TTLCache

from pdp.core.bytes.digest import Json, digest, keyed_index
from pdp.core.call.request import Caller
from pdp.core.check import NS
from pdp.core.errors import Fault, Forbidden, InvalidRequest, NotFound, Overloaded, Unavailable
from pdp.core.outcome import Effect
from pdp.core.outcome.answer import Answer
from pdp.people.tasks import ApprovalTask, ApprovalTasks, TaskStatus
from pdp.wire.authzen.access_questions import AccessQuestion, Object, question

PATH = "/access/v1/requests"
CAPABILITY = "urn:openid:authzen:capability:access-request"
APPROVAL = "approval"  # member of a context: an approval that is used, and one that was
_ERROR = "urn:openid:authzen:access-request:error:"
_CODE = "access_request"
PROBLEMS: Mapping[str, int] = {
    "not_requestable": 400,
    "invalid_denial_binding": 400,
    "unknown_task": 404,
    "duplicate_request": 409,
    "expired_denial": 410,
}
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_IDS = rf"{_UUID}(?:\.{_UUID}){{0,31}}"
_HANDLE = re.compile(rf"({_IDS})\.([0-9a-f]{{64}})")
_EVALUATION = re.compile(rf"({_UUID})\.([0-9]{{1,12}})\.({_IDS})\.([0-9a-f]{{64}})")
_UNBOUND = "invalid_denial_binding"
_KEYS, _KEPT_SECONDS, _KEY_CHARS = 10_000, 24 * 3600, 256  # of idempotency


def problem(fault: Fault) -> dict[str, Json] | None:
    """A fault of the profile as RFC 9457 says it, with its status; None for any other."""
    prefix, _, kind = fault.code.partition(".")
    if prefix != _CODE or kind not in PROBLEMS:
        return None
    title, message = kind.replace("_", " ").capitalize(), fault.message.removeprefix("denial: ")
    return {"type": _ERROR + kind, "title": title, "status": PROBLEMS[kind], "detail": message}


@dataclass(frozen=True, slots=True)
class TaskReply:
    """A task, and whether people have answered."""

    body: dict[str, Json]
    location: str
    over: bool


@dataclass(frozen=True, slots=True)
class RequestableDenial:
    """What an `evaluation_id` of ours says."""

    decision_id: str
    expires_s: int
    ids: tuple[str, ...]
    digest: str


class AccessTasks:
    """The profile's side of pending answers. `url` is this decision point's."""

    def __init__(self, tasks: ApprovalTasks, index_key: bytes, url: str) -> None:
        self._tasks, self._key, self._url = tasks, index_key, url
        self._submitted: TTLCache[tuple[str, str, str], str] = TTLCache(_KEYS, _KEPT_SECONDS)

    async def context(self, asked: AccessQuestion, answer: Answer, caller: Caller) -> dict[str, Json]:
        """The members of an answer's context."""
        requested = self._requested(asked, answer, caller)
        if APPROVAL not in asked.context:
            return requested
        return await self._used(asked.context[APPROVAL], requested, answer, caller)

    async def submit(self, given: Object, caller: Caller, key: str) -> TaskReply:
        """The task of the requests that a denied question has open.

        Raises InvalidRequest, some of which is a `problem`; Forbidden; what a store that is away raises.
        """
        self._refuse(given)
        asked = question(given)
        denial = self._denial(given.get("denial"), asked, caller)
        if denial.expires_s * NS <= self._tasks.clock.now_ns():
            raise _refused("expired_denial", "is too old; ask again")
        self._once(key, given, caller)
        try:
            task = await self._tasks(denial.ids, caller)
        except NotFound:
            raise _refused(_UNBOUND, "is about nothing that is open; ask again") from None
        return self._reply(self._handle(denial.ids, caller), task)

    async def status(self, handle: str, caller: Caller) -> TaskReply:
        """A task as it stands. Raises NotFound, Forbidden, and what a store that is away raises."""
        ids = self._ids(handle, caller)
        if not ids:
            raise _unknown()
        try:
            return self._reply(handle, await self._tasks(ids, caller))
        except NotFound:
            raise _unknown() from None

    def _requested(self, asked: AccessQuestion, answer: Answer, caller: Caller) -> dict[str, Json]:
        """Of a denial that people were asked about. Others are none that could be requested."""
        ids = tuple(sorted({each.approval_id for each in answer.requirements} - {""}))
        if answer.effect is not Effect.PENDING or not ids:
            return {}
        expires_s = answer.valid_until_ns // NS
        denial = RequestableDenial(answer.decision_id, expires_s, ids, "")
        denial = replace(denial, digest=self._digest(denial, asked, caller))
        return {
            "evaluation_id": ".".join((denial.decision_id, str(expires_s), *ids, denial.digest)),
            "reason": "approval_required",
            "access_request": {
                "endpoint": f"{self._url}{PATH}",
                "expires_at": _time(expires_s),
                "display": {"description": answer.safe_message},
            },
        }

    async def _used(self, given: Json, requested: dict[str, Json], answer: Answer, caller: Caller) -> dict[str, Json]:
        """Of a question that comes with an approval. What became of it is told; the decision rests on the call's."""
        handle = given.get("id") if isinstance(given, Mapping) else None
        ids = self._ids(handle, caller) if isinstance(handle, str) else ()
        try:
            task = await self._tasks(ids, caller) if ids else None
        except (Unavailable, Overloaded):  # what is decided and recorded leaves all the same
            return requested
        except (NotFound, Forbidden):
            task = None
        permitted, own = answer.effect is Effect.ALLOW, task is not None and task.call_digest == answer.call_digest
        if permitted:
            return {APPROVAL: {"id": handle, "approved_until": _time(answer.valid_until_ns // NS)}} if own else {}
        if task is None:
            return {"reason": "approval_unverifiable", "next_action": "none"}
        if requested:
            waits = own and task.status is TaskStatus.PENDING
            reason = "approval_required" if waits else "approval_expired" if own else "out_of_scope"
            return {**requested, "reason": reason, "next_action": "request"}
        if own and answer.effect is Effect.PENDING:  # for something else than people
            seconds = max(1, answer.retry_after_ms // 1000)
            return {"reason": "grant_pending", "next_action": "retry", "retry_after": seconds}
        return {"reason": "policy_denied" if own else "out_of_scope", "next_action": "none"}

    def _refuse(self, given: Object) -> None:
        """What a submission may hold and is not served here. Raises InvalidRequest."""
        if given.get("items") is not None:
            raise _refused("not_requestable", "covers several items; submit each question by itself")
        if given.get("callback") is not None:
            raise InvalidRequest("callback", "nothing is called back here; leave it out and poll the task")
        client = given.get("client")
        if isinstance(client, Mapping) and client.get("actor") is not None:
            raise InvalidRequest("client.actor", "cannot be verified here; leave it out")

    def _denial(self, given: Json, asked: AccessQuestion, caller: Caller) -> RequestableDenial:
        """The denial that is submitted, if it is one of this caller's and this question. Raises InvalidRequest."""
        if not isinstance(given, Mapping):
            raise _refused(_UNBOUND, "is missing, or no object")
        if given.get("binding_token") is not None:
            raise _refused(_UNBOUND, "has a binding_token, and answers of this decision point have none")
        found = _EVALUATION.fullmatch(str(given.get("evaluation_id")))
        if found is None:
            raise _refused(_UNBOUND, "has no evaluation_id of this decision point")
        denial = RequestableDenial(found[1], int(found[2]), tuple(found[3].split(".")), found[4])
        if not compare_digest(denial.digest, self._digest(denial, asked, caller)):
            raise _refused(_UNBOUND, "is not of this question, or of this caller")
        if given.get("expires_at") != _time(denial.expires_s):
            raise _refused(_UNBOUND, "has another expires_at than the answer had")
        return denial

    def _once(self, key: str, given: Object, caller: Caller) -> None:
        """A key is good for one body. Raises InvalidRequest."""
        if not key:
            return
        if len(key) > _KEY_CHARS:
            raise InvalidRequest("Idempotency-Key", f"is longer than {_KEY_CHARS} characters")
        body = digest(dict(given))
        if self._submitted.setdefault((caller.tenant, caller.name, key), body) != body:
            raise _refused("duplicate_request", "came with an Idempotency-Key that was used with another body")

    def _reply(self, handle: str, task: ApprovalTask) -> TaskReply:
        location, until = f"{self._url}{PATH}/{handle}", _time(task.ends_ns // NS)
        shown: dict[str, Json] = {"id": handle, "status": task.status.value, "status_endpoint": location}
        if task.status is TaskStatus.PENDING:
            return TaskReply({"task": {**shown, "expires_at": until}}, location, over=False)
        body: dict[str, Json] = {"task": shown}
        if task.status is TaskStatus.APPROVED:
            body["result"] = {"mode": "reevaluate", "approval": {"id": handle, "approved_until": until}}
        return TaskReply(body, location, over=True)

    def _digest(self, denial: RequestableDenial, asked: AccessQuestion, caller: Caller) -> str:
        """Binds a denial to its caller and question, of which the context is no part."""
        subject, action, resource = asked.subject, asked.action, asked.resource
        # its caller may move this one elsewhere between the question and the submission
        said = {name: value for name, value in subject.properties.items() if name != "act"}
        about: list[Json] = [
            [subject.type, subject.id, said],
            [action.name, dict(action.properties)],
            [resource.type, resource.id, dict(resource.properties)],
        ]
        parts: list[Json] = [denial.decision_id, denial.expires_s, list(denial.ids), about]
        return keyed_index(self._key, "authzen.denial", caller.tenant, caller.name, *parts)

    def _handle(self, ids: tuple[str, ...], caller: Caller) -> str:
        """The name of a task and of its approval: the same whenever it is asked for."""
        return ".".join((*ids, keyed_index(self._key, "authzen.task", caller.tenant, caller.name, list(ids))))

    def _ids(self, handle: str, caller: Caller) -> tuple[str, ...]:
        """The requests of a task; none for a name that is not of this caller's."""
        found = _HANDLE.fullmatch(handle)
        ids = tuple(found[1].split(".")) if found is not None else ()
        return ids if ids and compare_digest(handle, self._handle(ids, caller)) else ()


def _refused(kind: str, message: str) -> InvalidRequest:
    return InvalidRequest("denial", message, code=f"{_CODE}.{kind}")


def _unknown() -> NotFound:
    return NotFound(f"{_CODE}.unknown_task", "There is no such task.")


def _time(seconds: int) -> str:
    """RFC 3339, UTC, whole seconds."""
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}Z"
