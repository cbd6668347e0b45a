"""Records of what people's answers rest on besides: who stands in for whom, who is there, who was told."""

from __future__ import annotations

from collections.abc import Sequence

from pdp.core.approvals.records import sealed
from pdp.core.approvals.rows import Delegation, Notice
from pdp.core.digest import Json
from pdp.core.record import Fields, Stamp, cut, encode, portion


def delegated(stamp: Stamp, delegation: Delegation, by: str, salt: bytes) -> bytes:
    """Somebody may stand in for somebody. `by` is the human who said so."""
    reason = sealed(salt, "reason", delegation.reason)
    return encode(stamp, "delegation", {**_delegation(delegation, "added", by, delegation.from_ns), "reason": reason})


def delegation_ended(stamp: Stamp, delegation: Delegation, by: str, at_ns: int) -> bytes:
    """A delegation is over before its time."""
    return encode(stamp, "delegation", _delegation(delegation, "ended", by, at_ns))


def directory(
    stamp: Stamp,
    *,
    revision: str,
    members: int,
    groups: int,
    changed: Sequence[tuple[str, str]] = (),
    problem: str = "",
) -> bytes:
    """A tenant's people and groups were loaded, or refused for `problem`. `changed` are (human, "added" | "removed" |
    "disabled" | "enabled" | "groups"), listed as far as they fit."""
    items: list[Json] = [{"human": cut(human), "change": change} for human, change in sorted(changed)]
    fields: Fields = {
        "revision": revision,
        "members": members,
        "groups": groups,
        "changed": portion(items),
        "result": "refused" if problem else "loaded",
        "problem": problem or None,
    }
    return encode(stamp, "directory", fields)


def notice(stamp: Stamp, sent: Notice) -> bytes:
    """A message is being delivered, was delivered, or is not for `sent.problem` (a code): it is tried again, or given
    up. Nothing that it says, and nobody's address."""
    fields: Fields = {
        "notice_id": sent.id,
        "channel": sent.channel,
        "event": sent.event,
        "approval_id": sent.approval_id,
        "attempts": sent.attempts,
        "result": _result(sent),
        "problem": sent.problem or None,
    }
    return encode(stamp, "notice", fields)


def _result(sent: Notice) -> str:
    if sent.done_ns:
        return "given_up" if sent.problem else "delivered"
    return "failed" if sent.problem else "attempt"


def _delegation(delegation: Delegation, event: str, by: str, at_ns: int) -> Fields:
    return {
        "event": event,
        "delegation_id": delegation.id,
        "absent": delegation.absent,
        "deputy": delegation.deputy,
        "from_ns": delegation.from_ns,
        "until_ns": delegation.until_ns,
        "reason": None,
        "by": cut(by),
        "at_ns": at_ns,
    }
