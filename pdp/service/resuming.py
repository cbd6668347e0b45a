"""A call that comes back: with a token, or as the repeat of one whose answer was lost.

A token proves nothing. It only says which requests the caller means, so that one that has ended is told as ended and
is never opened again behind people's backs. What belongs to another reads like what never was.
"""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.answer import Answer
from pdp.core.approvals.asked import Asked
from pdp.core.approvals.resume import Resume
from pdp.core.approvals.rows import Approval
from pdp.core.approvals.states import OPEN, State
from pdp.core.check import NS
from pdp.core.outcome import Outcome, denied
from pdp.core.request import Ask, Caller
from pdp.ports import Answers, ResumeTokens
from pdp.service.repeat import Repeats

REPLAY_NS = 30 * NS  # how long a redeemed allow is told again to a caller that spends it only once

_INVALID = ("resume.invalid", "The resume token is not valid here; ask again without one.")
_OTHER = ("resume.mismatch", "The resume token belongs to another call: what is asked now is not what people saw.")
_SPENT = ("already_redeemed", "The approval of this call has been used; ask again for another one.")
_OVER = {
    State.EXPIRED: ("requirement.expired", "Nobody answered in time; ask again without the token."),
    State.CANCELLED: ("requirement.cancelled", "The request was taken back; ask again without the token."),
}


@dataclass(frozen=True, slots=True)
class Resuming:
    """Looks at what comes back before anything is evaluated."""

    store: Answers
    tokens: ResumeTokens
    repeats: Repeats

    def __call__(self, ask: Ask, caller: Caller, asked: Asked, at_ns: int) -> Answer | Outcome | None:
        """The kept answer, a denial, or None: then it is evaluated like any other call."""
        named: tuple[str, ...] = ()
        if ask.resume_token:
            resume = self.tokens.open(ask.resume_token, at_ns)
            if resume is None or not _own(resume, asked):
                return denied(*_INVALID)
            if resume.digest != asked.call.digest:
                return denied(*_OTHER)
            named = resume.approvals
        elif not asked.repeated:
            return None
        return self._come_to(named, ask, caller, asked, at_ns)

    def _come_to(
        self, named: tuple[str, ...], ask: Ask, caller: Caller, asked: Asked, at_ns: int
    ) -> Answer | Outcome | None:
        call_id = call_id_of(ask)
        for approval in self.store.approvals_of(asked.tenant, asked.call.digest):
            meant = approval.id in named
            if approval.state is State.REDEEMED and (meant or (call_id and approval.redeemed_call == call_id)):
                return self._again(approval, caller, asked, call_id, at_ns) or denied(*_SPENT)
            state = State.EXPIRED if approval.state in OPEN and at_ns >= approval.expires_ns else approval.state
            if meant and state in _OVER:
                return denied(*_OVER[state])
        return None

    def _again(self, approval: Approval, caller: Caller, asked: Asked, call_id: str, at_ns: int) -> Answer | None:
        """The same answer with the same redemption id, which is kept for callers that carry it out only once."""
        if not call_id or at_ns - approval.resolved_ns >= REPLAY_NS:
            return None
        return self.repeats.redeemed(asked, caller, call_id, at_ns)


def call_id_of(ask: Ask) -> str:
    """What names this one execution: the call id, or else the request's."""
    return ask.call_id or ask.request_id


def _own(resume: Resume, asked: Asked) -> bool:
    call = asked.call
    return (resume.tenant, resume.caller, resume.subject, resume.server) == (
        asked.tenant,
        call.caller,
        call.subject,
        call.server,
    )
