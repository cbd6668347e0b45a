"""Grants: whose calls go through without asking again, until when, and how to end that."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from pdp.adapters.console.visit import Visit
from pdp.core.approvals.queries import Page
from pdp.core.approvals.states import GrantState
from pdp.service.approvals.grants import GrantFilter

PAGE = 50
_MAX_REASON = 2000


async def show(visit: Visit) -> Response:
    """GET /grants: those in force; `ended=1`: those that are over."""
    asked = visit.request.query_params
    ended = asked.get("ended") == "1"
    states = frozenset(GrantState) - {GrantState.ACTIVE} if ended else frozenset({GrantState.ACTIVE})
    found, after = await visit.approvals.grants.list(
        visit.person, GrantFilter(states=states), Page(PAGE, asked.get("after", "")[:64])
    )
    attempt = visit.console.services.entropy.bytes(16).hex()
    return visit.show("grants.html", grants=found, ended=ended, after=after, attempt=attempt)


async def revoke(visit: Visit) -> Response:
    """POST /grants/ID/revoke."""
    grant_id = str(visit.request.path_params["id"])
    reason = visit.form.get("reason", "")[:_MAX_REASON]
    await visit.approvals.grants.revoke(visit.person, grant_id, reason, visit.form.get("attempt", ""))
    return RedirectResponse("/grants", 303)
