"""The queue and the history: pages of fifty, whatever the number of requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.responses import Response

from pdp.adapters.console.rows import line
from pdp.adapters.console.visit import Visit
from pdp.core.approvals.queries import Page
from pdp.core.approvals.requirement import PEOPLE
from pdp.core.approvals.states import FINAL, OPEN, State
from pdp.core.approvals.view import ApprovalView
from pdp.core.check import NS
from pdp.core.digest import INT64_MAX
from pdp.core.errors import InvalidRequest
from pdp.service.approvals.visibility import ApprovalFilter

PAGE = 50
KINDS = tuple(sorted(PEOPLE))
OPEN_STATES = ("pending", "approved")
FINAL_STATES = ("redeemed", "denied", "expired", "cancelled", "revoked")
_MAX_TEXT = 256


async def queue(visit: Visit) -> Response:
    """GET /queue: what waits, oldest first."""
    asked = visit.request.query_params
    states = _states(asked, OPEN) or frozenset({State.PENDING})
    wanted = replace(_wanted(asked), states=states, mine=asked.get("mine") == "1")
    views, after = await visit.approvals.queue.list(visit.person, wanted, _page(asked))
    return _show(visit, "queue.html", views, OPEN_STATES, after)


async def history(visit: Visit) -> Response:
    """GET /history: what is decided or over, newest first."""
    asked = visit.request.query_params
    wanted = replace(
        _wanted(asked),
        states=_states(asked, FINAL) or FINAL,
        opened_from_ns=_day(asked, "from"),
        opened_to_ns=_day(asked, "to", after=1),
        newest_first=True,
    )
    views, after = await visit.approvals.queue.list(visit.person, wanted, _page(asked))
    return _show(visit, "history.html", views, FINAL_STATES, after)


def _show(
    visit: Visit, template: str, views: Sequence[ApprovalView], states: tuple[str, ...], after: str
) -> Response:
    directory = visit.approvals.directories.of(visit.person.tenant)
    asked, now = visit.request.query_params, visit.console.services.clock.now_ns()
    return visit.show(
        template,
        lines=[line(view, directory, now) for view in views],
        asked=_kept(asked),
        states=states,
        kinds=KINDS,
        next=_next(asked, after),
    )


def _wanted(asked: QueryParams) -> ApprovalFilter:
    kind = asked.get("kind", "")
    kinds = frozenset({kind}) & frozenset(KINDS)
    return ApprovalFilter(
        kinds=kinds,
        server=_text(asked, "server"),
        tool=_text(asked, "tool"),
        agent=_text(asked, "agent"),
        code=_text(asked, "code"),
        person=_text(asked, "person"),
    )


def _states(asked: QueryParams, among: frozenset[State]) -> frozenset[State]:
    state = asked.get("state", "")
    if state == "all":
        return among
    return frozenset(each for each in among if each == state)


def _page(asked: QueryParams) -> Page:
    return Page(PAGE, _text(asked, "after"))


def _text(asked: QueryParams, name: str) -> str:
    found = asked.get(name, "").strip()
    if len(found) > _MAX_TEXT:
        raise InvalidRequest(name, "is too long")
    return found


def _day(asked: QueryParams, name: str, *, after: int = 0) -> int:
    """The beginning of a day, UTC; 0 when none is asked for."""
    found = _text(asked, name)
    if not found:
        return 0
    try:
        day = datetime.strptime(found, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=after)
        return min(max(0, int(day.timestamp())) * NS, INT64_MAX)
    except (ValueError, OverflowError):
        raise InvalidRequest(name, "is a day, as in 2026-11-20") from None


def _kept(asked: QueryParams) -> Mapping[str, str]:
    """What the form of filters shows again."""
    names = ("state", "kind", "server", "tool", "agent", "code", "person", "mine", "from", "to")
    return {name: asked.get(name, "") for name in names}


def _next(asked: QueryParams, after: str) -> str:
    """The query of the next page; "" on the last."""
    kept = {name: value for name, value in _kept(asked).items() if value}
    return urlencode({**kept, "after": after}) if after else ""
