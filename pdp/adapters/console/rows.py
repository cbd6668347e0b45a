"""Requests as lists show them: one line each, made of words already, since a page has fifty."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.adapters.console import wording
from pdp.core.approvals.directory import Directory
from pdp.core.approvals.rows import Account
from pdp.core.approvals.states import State
from pdp.core.approvals.view import ApprovalView


@dataclass(frozen=True, slots=True)
class Line:
    """One request. `state` is empty for one that waits."""

    href: str
    edge: str
    risk: str
    state: str
    state_word: str
    outcome: str
    title: str
    server: str
    tool: str
    code: str
    effect: str
    subject: str
    agent: str
    kind: str
    rule: str
    waits: str
    opened: str
    left: str
    left_ms: int
    expires: str
    you: str
    decides: bool
    voters: tuple[str, ...]
    ended_ns: int
    differs: str


def line(view: ApprovalView, directory: Directory, now_ns: int) -> Line:
    """The line of one request for the person whose view it is."""
    approval, call = view.approval, view.approval.call
    page = "consents" if approval.kind == "consent" and approval.state is State.PENDING else "requests"
    effects = view.shown.effects if view.shown is not None else ()
    return Line(
        href=f"/{page}/{approval.id}",
        edge=wording.risk_class(approval.risk),
        risk=wording.word(wording.RISKS, approval.risk),
        state="" if approval.state is State.PENDING else approval.state,
        state_word=wording.state(approval.state, view.outcome),
        outcome=view.outcome,
        title=approval.title or call.tool,
        server=call.server,
        tool=call.tool,
        code=approval.short_code,
        effect=effects[0] if effects else "",
        subject=name(call.subject, directory),
        agent=call.agent,
        kind=wording.word(wording.KINDS, approval.kind),
        rule=view.wanted.code,
        waits=wording.span(approval.opened_ns, now_ns),
        opened=wording.instant(approval.opened_ns),
        left=wording.span(now_ns, approval.expires_ns),
        left_ms=wording.millis(approval.expires_ns),
        expires=wording.instant(approval.expires_ns),
        you=_you(view),
        decides=view.may_vote and not view.mine,
        voters=tuple(
            f"{_human(vote.human, directory)} {wording.word(wording.CHOICES, vote.choice)}" for vote in view.votes
        ),
        ended_ns=approval.resolved_ns or approval.changed_ns,
        differs=", ".join(view.differs),
    )


def name(account: Account, directory: Directory) -> str:
    """A person's name, or the account's id where the directory has none."""
    member = directory.members.get(directory.human(account))
    return member.name if member is not None else account.id


def _human(human: str, directory: Directory) -> str:
    member = directory.members.get(human)
    return member.name if member is not None else human


def _you(view: ApprovalView) -> str:
    if view.mine:
        return f"have {wording.word(wording.DONE, view.mine)}"
    if view.may_vote:
        return "can decide"
    return "asked for it" if view.may_not_code == "approval.own_call" else "can look"
