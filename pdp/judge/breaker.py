"""Leaves an endpoint alone that fails again and again, for one tenant."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class State(Enum):
    """Whether requests go through."""

    CLOSED = "closed"  # they do
    OPEN = "open"  # none does
    TRIAL = "trial"  # one does, to see


class Event(Enum):
    """What happens to the breaker."""

    SUCCESS = "success"
    FAILURE = "failure"
    TRIPPED = "tripped"  # a failure too many
    COOLED = "cooled"  # it has been open long enough


# what is not here changes nothing
_TRANSITIONS = {
    (State.CLOSED, Event.TRIPPED): State.OPEN,
    (State.OPEN, Event.COOLED): State.TRIAL,
    (State.TRIAL, Event.SUCCESS): State.CLOSED,
    (State.TRIAL, Event.FAILURE): State.OPEN,
    (State.TRIAL, Event.TRIPPED): State.OPEN,
}


class Breaker:
    """`failures` in a row open it for `seconds`. Every admitted request must end in `succeeded`, `failed` or
    `released`."""

    def __init__(self, failures: int, seconds: float, monotonic: Callable[[], float]) -> None:
        self._limit, self._seconds, self._monotonic = failures, seconds, monotonic
        self._failed = 0
        self._since = 0.0
        self._trying = False
        self.state = State.CLOSED

    def admits(self) -> bool:
        """Whether a request may go through now."""
        if self.state is State.OPEN and self._monotonic() - self._since >= self._seconds:
            self._move(Event.COOLED)
        if self.state is State.TRIAL:
            if self._trying:
                return False
            self._trying = True
        return self.state is not State.OPEN

    def succeeded(self) -> None:
        """The endpoint answered."""
        self._failed = 0
        self._move(Event.SUCCESS)

    def failed(self) -> None:
        """The endpoint is not well."""
        self._failed += 1
        self._move(Event.TRIPPED if self._failed >= self._limit else Event.FAILURE)

    def released(self) -> None:
        """The request says nothing about the endpoint."""
        self._trying = False

    def _move(self, event: Event) -> None:
        self._trying = False
        found = _TRANSITIONS.get((self.state, event))
        if found is None:
            return
        if found is State.OPEN:
            self._since = self._monotonic()
        self.state = found
