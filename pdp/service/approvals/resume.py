"""A call that comes back: with a token, or as the repeat of one whose answer was lost.

A token proves nothing. It only says which requests the caller means, so that one that has ended is told as ended and
is never opened again behind people's backs. Another caller's token is indistinguishable from an unknown one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pdp.core.answer import Answer
from pdp.core.approvals.call import CallUnderDecision
from pdp.core.approvals.redeem import Resume
from pdp.core.approvals.states import OPEN, State
from pdp.core.check import NS
from pdp.core.outcome import Outcome, denied
from pdp.ports import ResumeTokens
from pdp.service.decision import Decision
from pdp.service.facts import call_id_of
from pdp.service.idempotency import Idempotency

REPLAY_NS = 30 * NS  # how long a redeemed allow is told again to a caller that spends it only once

_INVALID = ("resume.invalid", "The resume token is not valid here; ask again without one.")
_OTHER = ("resume.mismatch", "The resume token belongs to another call: what is asked now is not what people saw.")
_SPENT = ("already_redeemed", "The approval of this call has been used; ask again for another one.")
_OVER = {
    State.EXPIRED: ("requirement.expired", "Nobody answered in time; ask again without the token."),
    State.CANCELLED: ("requirement.cancelled", "The request was withdrawn; ask again without the token."),
}


@dataclass(frozen=True, slots=True)
class Resuming:
    """Looks at what comes back before anything is evaluated."""

    tokens: ResumeTokens
    idempotency: Idempotency

    def __call__(self, decision: Decision, asked: CallUnderDecision) -> Answer | Outcome | None:
        """The kept answer, a denial, or None: then it is evaluated like any other call. A call that was about to
        redeem a request and was overtaken hears that it is used, with a token and without."""
        ask, at_ns = decision.ask, decision.at_ns
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
        call_id = call_id_of(ask)

        def kept() -> Answer | None:  # for callers that carry out a redemption only once
            return self.idempotency.redeemed(asked, decision.snapshot, at_ns)

        found = self._come_to(named, decision.redeeming, call_id, asked, kept, at_ns)
        return kept() if found is None and ask.call_id else found  # a grant's use, or a verdict's

    def _come_to(
        self,
        named: tuple[str, ...],
        redeeming: frozenset[str],
        call_id: str,
        asked: CallUnderDecision,
        kept: Callable[[], Answer | None],
        at_ns: int,
    ) -> Answer | Outcome | None:
        """What becomes of the requests that are meant, or were redeemed by this very call."""
        found = asked.stored.approvals
        if not {approval.id for approval in found}.issuperset(named):  # so many have come since that it is long over
            return denied(*_INVALID)
        for approval in found:
            meant = approval.id in named
            mine = meant or approval.id in redeeming or (call_id and approval.redeemed_call == call_id)
            if approval.state is State.REDEEMED and mine:
                again = approval.redeemed_call == call_id and at_ns - approval.resolved_ns < REPLAY_NS
                return (kept() if again else None) or denied(*_SPENT)
            state = State.EXPIRED if approval.state in OPEN and at_ns >= approval.expires_ns else approval.state
            if meant and state in _OVER:
                return denied(*_OVER[state])
        return None


def _own(resume: Resume, asked: CallUnderDecision) -> bool:
    call = asked.call
    return (resume.tenant, resume.caller, resume.subject, resume.server) == (
        asked.tenant,
        call.caller,
        call.subject,
        call.server,
    )
