"""The words of the pages: for states, kinds, risks, codes and times. Pure; also the templates' vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pdp.core.approvals.requirement import PEOPLE, GrantOffer
from pdp.core.approvals.rows import Account
from pdp.core.check import NS

RISKS: Mapping[str, str] = {
    "low": "Low risk",
    "medium": "Medium risk",
    "high": "High risk",
    "critical": "Critical risk",
}
STATES: Mapping[str, str] = {
    "pending": "Waiting",
    "approved": "Approved",
    "denied": "Denied",
    "expired": "Expired",
    "cancelled": "Withdrawn",
    "revoked": "Approval taken back",
    "redeemed": "Approved and let through",
    "active": "In force",
    "exhausted": "Used up",
    "requested": "Asked for",
    "refused": "Denied",
}
OUTCOMES: Mapping[str, str] = {  # of a redeemed request, as the caller reported it
    "done": "Approved and carried out",
    "failed": "Approved, but failed",
    "unknown": "Approved, outcome unknown",
}
KINDS: Mapping[str, str] = {kind: kind.capitalize() for kind in sorted(PEOPLE)}
CHOICES: Mapping[str, str] = {"approve": "approved", "deny": "denied", "cancel": "withdrew"}
DONE: Mapping[str, str] = {**CHOICES, "cancel": "withdrawn"}  # "you have …"
ASSURANCES: Mapping[str, str] = {
    "client_asserted": "as their client said",
    "signed_in": "signed in",
    "passkey": "with a passkey",
}
SURFACES: Mapping[str, str] = {
    "grpc": "the API",
    "cli": "the command line",
    "console": "this console",
    "client": "a client's word",
}
TASK_SOURCES: Mapping[str, str] = {
    "subject_signed": "signed by the person",
    "caller": "passed on by the gateway, not verified",
    "agent": "the agent's own words, not verified",
}
# why the shipped baseline asks people; an organisation's own rules speak by their code and message
REASONS: Mapping[str, str] = {
    "agent.unattended": "An agent acts here with nobody at the keyboard, so its group has to agree.",
    "annotations.destructive": "The tool can destroy what it works on, so somebody else has to agree.",
    "arguments.suspect": "A part of this could give orders to the program that reads it, so you have to confirm it.",
    "arguments.suspect_unattended": "A part of this could give orders to the program that reads it, and nobody is at "
    "the keyboard, so the agent's group has to agree.",
    "files.steering": "Agents, shells or pipelines do later what is written into this file, without a question, so "
    "you have to confirm it.",
    "flow.exfiltration": "The agent has read private data and text that others wrote, and this would send something "
    "out, so you have to confirm that you want it.",
    "judge.high.confirm": "A judge could not tell whether this fits the task, so you have to confirm it.",
    "judge.origins.confirm": "A judge could not tell whether the task wants this, so you have to confirm it.",
    "judge.medium.confirm": "A judge could not tell whether this fits the task, so you have to confirm it.",
    "memory.tainted": "Agents would remember this in later sessions, and this one has read what others wrote.",
    "risk.critical": "The tool is of critical risk, so two people have to agree.",
    "risk.high": "The tool is of high risk, so you have to confirm that you want this.",
    "risk.medium": "The tool changes something, so you have to confirm that you want this.",
    "session.declassify": "An agent would be limited no more by what it has read, so people have to agree.",
    "tool.lift_quarantine": "The tool did what it may not do, so people have to agree that it is used again.",
    "sink.tainted": "This would send something out of a session that has seen private data, or untrusted content.",
}
WHY_NOT: Mapping[str, str] = {
    "approval.own_call": "This call is made for you, so somebody else has to decide. You can withdraw it.",
    "approval.not_eligible": "You are in none of the groups whose agreement is wanted here.",
    "approval.not_yours": "Only the person for whom the agent acts can confirm this.",
    "approval.voted": "You have voted.",
    "approval.too_late": "This is decided, or its time is over.",
    "approval.assurance": "This vote needs a passkey. Sign in with one to vote.",
    "person.inactive": "Your account is disabled.",
}
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def word(table: Mapping[str, str], key: str) -> str:
    """The word for a key, or the key itself: what is not known is never left out."""
    return table.get(key, key)


def state(name: str, outcome: str = "") -> str:
    """The words for a state; of a call that was let through, for what the caller reported of it."""
    return OUTCOMES.get(outcome, outcome) if name == "redeemed" and outcome else word(STATES, name)


def risk_class(risk: str) -> str:
    """The risk as a part of a style's name; what is not known is shown as the worst."""
    return risk if risk in RISKS else "critical"


def why_asked(message: str, code: str) -> str:
    """Why people are asked: the sentence of the policy's author, or ours for its rule."""
    return message or REASONS.get(code, f"The rule {code} asks.")


def why_not(code: str) -> str:
    """The reason why a person may not vote."""
    return WHY_NOT.get(code, f"You cannot vote on this ({code}).")


def iso(at_ns: int) -> str:
    """RFC 3339, whole seconds, UTC."""
    return _utc(at_ns).strftime("%Y-%m-%dT%H:%M:%SZ")


def instant(at_ns: int) -> str:
    """As in "20 Nov 2026, 10:30 UTC"."""
    return _utc(at_ns).strftime("%d %b %Y, %H:%M UTC").removeprefix("0")


def millis(at_ns: int) -> int:
    """Milliseconds, for the page's script."""
    return at_ns // 1_000_000


def span(from_ns: int, to_ns: int) -> str:
    """A duration in its largest unit, rounded down: "3 hours". Nothing is "0 seconds"."""
    seconds = max(0, to_ns - from_ns) // NS
    size, name = next(((s, n) for s, n in _UNITS if seconds >= s), (1, "second"))
    return counted(seconds // size, name)


def counted(count: int, noun: str) -> str:
    """As in "1 day", "2 days"; "1 person", "2 people"."""
    many = {"person": "people"}.get(noun, f"{noun}s")
    return f"{count:,} {noun if count == 1 else many}"


def turned_down(denials: int, withdrawals: int) -> str:
    """Counts of like calls, as in "Denied 3 times, withdrawn 1 time"."""
    counts = (("denied", denials), ("withdrawn", withdrawals))
    return ", ".join(f"{what} {counted(count, 'time')}" for what, count in counts if count).capitalize()


def account(of: Account) -> str:
    """An account with its issuer: neither part alone names anybody."""
    return f"{of.id} at {of.issuer}" if of.issuer else f"{of.id} (issuer not named)"


def bounds(minutes: int, uses: int, *, session: bool) -> str:
    """The bounds of a grant in words, as in "for 30 minutes, for 5 calls, in this session only"."""
    parts = []
    if minutes:
        parts.append(f"for {span(0, minutes * 60 * NS) if minutes % 60 == 0 else counted(minutes, 'minute')}")
    if uses:
        parts.append(f"for {counted(uses, 'call')}")
    if session:
        parts.append("in this session only")
    return ", ".join(parts)


def offer(terms: GrantOffer) -> str:
    """The widest grant that policy lets an approver give."""
    return bounds(terms.minutes, terms.uses, session=terms.session)


def _utc(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns // NS, UTC)
