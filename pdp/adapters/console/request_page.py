"""One request, as whoever decides must see it, and the vote. Nothing here says who may vote or what a vote does."""

from __future__ import annotations

import json
from dataclasses import dataclass

from starlette.responses import RedirectResponse, Response

from pdp.adapters.console import wording
from pdp.adapters.console.arguments import arguments, fold
from pdp.adapters.console.visit import Visit
from pdp.core.approvals.grants import GrantTerms
from pdp.core.approvals.people import Directory
from pdp.core.approvals.rows import Account
from pdp.core.approvals.states import OPEN
from pdp.core.approvals.view import ApprovalView
from pdp.core.errors import InvalidRequest, NotFound, Outdated
from pdp.service.people.voting import BallotInput

CHOICES = frozenset({"approve", "deny", "cancel"})
_MAX_REASON = 4000
_REDRAWN = "Nothing was recorded: the request is not as it was shown to you. This is how it stands now."
_UNFOLDED = "Nothing was recorded: parts of this request were cut. Here is everything; decide now."


@dataclass(frozen=True, slots=True)
class Why:
    """Why people are asked: what policy says, and by what rule and control."""

    sentence: str
    code: str
    control: str


@dataclass(frozen=True, slots=True)
class SeatShown:
    """A seat's group by name, whether the reader is of it, how many it wants and has."""

    group: str
    mine: bool
    wanted: int
    filled: int


@dataclass(frozen=True, slots=True)
class May:
    """What this page offers to this person."""

    approve: bool
    deny: bool
    cancel: bool
    why_not: str


async def show(visit: Visit) -> Response:
    """GET /requests/ID; `all=1` cuts nothing. Raises NotFound."""
    asked = visit.request.query_params
    done = asked.get("done", "")
    return await _show(visit, everything=asked.get("all") == "1", done=done if done in CHOICES else "")


async def vote(visit: Visit) -> Response:
    """POST /requests/ID/vote. What cannot be counted as it was meant leads back to the request as it stands."""
    form, request_id = visit.form, str(visit.request.path_params["id"])
    choice, presented = form.get("choice", ""), form.get("presented", "")
    if choice not in CHOICES:
        raise InvalidRequest("choice", "is approve, deny or cancel")
    if choice == "approve" and not _saw_everything(visit, presented):
        return await _show(visit, everything=True, notice=_UNFOLDED, status=409)
    ballot = BallotInput(
        request_id=form.get("attempt", ""),
        choice=choice,
        reason=form.get("reason", "").replace("\r\n", "\n").strip(),
        presented=presented,
        behalf=await _behalf(visit, form.get("behalf", "")),
        grant=_grant(visit) if choice == "approve" else None,
        passkey=form.get("passkey", "").encode(),
    )
    try:
        await visit.people.voting.vote(visit.person, request_id, ballot)
    except Outdated as fault:
        return await _show(visit, everything=True, notice=f"{_REDRAWN} ({fault.message})", status=409)
    except InvalidRequest as fault:
        return await _show(visit, everything=True, notice=f"Nothing was recorded. {fault.message}", status=400)
    return RedirectResponse(f"/requests/{request_id}?done={choice}", 303)


async def _show(visit: Visit, *, everything: bool, notice: str = "", done: str = "", status: int = 200) -> Response:
    view = await visit.people.queue.get(visit.person, str(visit.request.path_params["id"]))
    directory = visit.people.directories.of(visit.person.tenant)
    rows = arguments(view.rows, everything=everything)
    task = fold(view.shown.task if view.shown else "", everything=everything)
    absent = await _absent(visit)
    asked = visit.console.passkeys.asked(visit.person, view)
    place = f"/requests/{view.approval.id}/vote"
    whole = not rows.cut and not task.hidden
    return visit.show(
        "request.html",
        status,
        view=view,
        approval=view.approval,
        wanted=view.wanted,
        why=_why(view),
        seats=_seats(view, directory, directory.groups(visit.person.human) | visit.person.claimed),
        arguments=rows,
        task=task,
        may=_may(view, standing_in=bool(absent), passkey=bool(asked), operator="operate" in visit.person.roles),
        passkey=asked,
        absent=absent,
        place=place,
        whole=visit.token(_whole(place, view.presented)) if whole and view.presented else "",
        attempt=visit.console.services.entropy.bytes(16).hex(),
        reason=visit.form.get("reason", "")[:_MAX_REASON],
        fresh=visit.fresh,
        unproved=not visit.session.authenticated_ns,
        again=visit.again(f"/requests/{view.approval.id}"),
        notice=notice,
        done=done,
    )


def _whole(place: str, presented: str) -> str:
    """Names a form that was shown with nothing cut, for one state of the request."""
    return f"{place} whole {presented}"


def _saw_everything(visit: Visit, presented: str) -> bool:
    form = _whole(visit.request.url.path, presented)
    return visit.console.sessions.holds(visit.session, form, visit.form.get("whole", ""))


def _why(view: ApprovalView) -> Why:
    element = json.loads(view.approval.requirement)
    code, message = view.wanted.code, element.get("message")
    said = message if isinstance(message, str) and message else wording.REASONS.get(code, f"The rule {code} asks.")
    control = element.get("control")
    return Why(said, code, control if isinstance(control, str) else "")


def _seats(view: ApprovalView, directory: Directory, mine: frozenset[str]) -> tuple[SeatShown, ...]:
    filled = view.tally.filled or (0,) * len(view.wanted.seats)
    return tuple(
        SeatShown(directory.group_names.get(seat.group_id, seat.group_id), seat.group_id in mine, seat.n, count)
        for seat, count in zip(view.wanted.seats, filled, strict=True)
    )


def _may(view: ApprovalView, *, standing_in: bool, passkey: bool, operator: bool) -> May:
    """What to offer; a vote is judged where those of all surfaces are."""
    open_ = view.approval.state in OPEN and view.approval.kind != "consent"
    code = view.may_not_code
    votes = view.may_vote or (standing_in and code in {"approval.not_eligible", "approval.voted"})
    return May(
        approve=open_ and bool(view.presented) and (votes or (passkey and code == "approval.assurance")),
        deny=open_ and (votes or code == "approval.assurance"),
        cancel=open_ and (code == "approval.own_call" or operator),
        why_not=code,
    )


async def _absent(visit: Visit) -> tuple[tuple[str, str], ...]:
    """Whom this person stands in for now: human and name."""
    now = visit.console.services.clock.now_ns()
    members = visit.people.directories.of(visit.person.tenant).members
    found = await visit.people.delegations.list(visit.person)
    current = (d for d in found if d.deputy == visit.person.human and d.from_ns <= now < d.until_ns)
    return tuple((d.absent, members[d.absent].name) for d in current if d.absent in members)


async def _behalf(visit: Visit, human: str) -> Account | None:
    """An account of who is stood in for; None for oneself."""
    if not human:
        return None
    if human not in dict(await _absent(visit)):
        raise NotFound("delegation.unknown", "You do not stand in for that person now.")
    member = visit.people.directories.of(visit.person.tenant).members[human]
    return member.accounts[0]


def _grant(visit: Visit) -> GrantTerms | None:
    """The grant asked for with an approval: exactly these arguments, within the bounds given."""
    form = visit.form
    if form.get("scope", "once") != "grant":
        return None
    return GrantTerms(
        minutes=_count(form.get("minutes", "")),
        uses=_count(form.get("uses", "")),
        session=form.get("session", "") == "1",
    )


def _count(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidRequest("grant", "minutes and uses are whole numbers")
    return int(text or 0)
