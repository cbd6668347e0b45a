"""One part of a running process: what a room has it do beside answering calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

Step = Callable[[], Awaitable[object]]


async def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Part:
    """Every step is the room's own; what it leaves out, it has not. A process goes through its parts in their order,
    and closes them in the reverse one."""

    name: str
    prepare: Step = _nothing  # before anything is loaded and recorded
    start: Step = _nothing  # of listeners: once calls can be answered
    work: Callable[[], Coroutine[Any, Any, Any]] | None = None  # from then on; it never ends by itself
    chore: Step | None = None  # every `service.watch_seconds`; what it raises is told, and it comes again
    ready: Callable[[], bool] = lambda: True  # False: the process answers nothing, and health says so
    drain: Step = _nothing  # of listeners: take no more; before the stop is recorded
    close: Step = _nothing  # after that
