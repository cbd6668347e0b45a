"""What the judge's process tells the decision process of one session. Nothing in it has been believed yet."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.judge.judge_input import OK

# what the judge's process may say; each other status is found on this side
STATUSES = frozenset(
    {OK, "filtered", "timeout", "endpoint", "rate_limited", "breaker_open", "budget", "overloaded"},
)
MAX_TEXT = 17_000  # characters; a longer answer is malformed, and stays so when it is cut here


@dataclass(frozen=True, slots=True)
class SessionResult:
    """`status` is "ok" when the model answered, with `text`; else it says why it did not (see `Opinion.status`)."""

    status: str
    text: str = ""
    finish: str = ""  # why the model stopped, see `read_opinion`
    model: str = ""  # as the endpoint names it
    tokens_in: int = 0
    tokens_out: int = 0
    cost_micros: int = 0  # millionths of the currency of `judge.prices`
    latency_ms: int = 0

    @property
    def answered(self) -> bool:
        """Whether there is something to read."""
        return self.status == OK
