"""What an answer for a task binds: the tool, and of its arguments those that decide whom, what or how much. Pure.

An argument is bound by its origin where the task names its value, as somebody else than the agent vouches for: then
it may be another value that the task names. Else by the very value that was shown. Which arguments bind the manifest
says; where it names none, all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from pdp.core.approvals.call import CallContext
from pdp.core.approvals.rows import Approval, Shown
from pdp.core.bytes import json_pointer
from pdp.core.bytes.digest import Json, canonical
from pdp.core.call.task import StatedTask, of_task, vouched_task


def bound(arguments: Json, binds: Sequence[str] | None, task: StatedTask) -> Mapping[str, bytes | None]:
    """The bound leaves by JSON Pointer: canonical values, None for one that the task names."""
    return {
        at: None if _named(value, task) else canonical(value)
        for at, value in _leaves(arguments, "")
        if not binds or any(json_pointer.within(at, each) for each in binds)
    }


def covers(approval: Approval, shown: Shown | None, context: CallContext) -> bool:
    """Whether an answer to a request is one for this call, too: same task, tool and definition, same bound values.
    Never where what was shown is erased, nor without a session."""
    approved, call, session = approval.call, context.call, context.facts.session
    if shown is None or not call.session or approval.opened_ns < session.started_ns:
        return False
    same = (approval.tenant, approved.subject, approved.agent, approved.caller, approved.session) == (
        context.tenant, call.subject, call.agent, call.caller, call.session
    )  # fmt: skip
    there = shown.working_folder == context.working_folder and (
        approved.server,
        approved.tool,
        approved.manifest_sha256,
    ) == (
        call.server,
        call.tool,
        call.manifest_sha256,
    )
    if not same or not there:
        return False
    binds, task = context.facts.targets[0].binds, vouched_task(shown.task, shown.task_source)
    if (shown.task, shown.task_source) != (session.task, session.task_source):
        task = of_task("")  # it was agreed to when nobody had said what the task is: then values count alone
    return bound(json.loads(shown.arguments), binds, task) == bound(context.value, binds, task)


def sentences(context: CallContext) -> tuple[str, ...]:
    """What agreeing covers, for people. Of the call only names that its manifest's reviewer wrote are told."""
    session, binds = context.facts.session, context.facts.targets[0].binds
    if not context.call.session:
        return ("Agreeing covers this one call: it belongs to no session.",)
    same = f"the same {' and '.join(binds)}; other arguments may differ" if binds else "the same arguments"
    lines = [f"Agreeing covers this task alone, for a day at most, and of this tool only calls with {same}."]
    task = vouched_task(session.task, session.task_source)
    if any(value is None for value in bound(context.value, binds, task).values()):
        lines.append("Where the task names a value, a later call may have another one that the task names.")
    return tuple(lines)


def _named(value: Json, task: StatedTask) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    return task.spells(value if isinstance(value, str) else Decimal(str(value)))


def _leaves(value: Json, pointer: str) -> Iterator[tuple[str, Json]]:
    if isinstance(value, Mapping) and value:
        for name, member in value.items():
            yield from _leaves(member, f"{pointer}/{json_pointer.step(name)}")
    elif isinstance(value, list | tuple) and value:
        for index, member in enumerate(value):
            yield from _leaves(member, f"{pointer}/{index}")
    else:
        yield pointer, value
