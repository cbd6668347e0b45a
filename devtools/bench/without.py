"""`pdp serve` without one of its promises, beside the whole one: what that costs. None has a switch of its own.

python -m devtools.bench.without PROMISE serve --config FILE
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping

from pdp.cli.main import main
from pdp.decide.kind import Kinds
from pdp.policy.kept import KeptAnswers
from pdp.runtime.log_process import LogProcess
from pdp.store.sqlite import opening


def _synced() -> None:
    """Commits are on the disk before they are answered."""
    pragmas = [each.replace("synchronous=FULL", "synchronous=OFF") for each in opening.WRITER_PRAGMAS]
    opening.WRITER_PRAGMAS = tuple(pragmas)  # type: ignore[assignment] # as many as before


def _compared() -> None:
    """1 in 64 kept kinds of calls, and 1 in 64 kept results, are made anew and compared."""
    Kinds.due = KeptAnswers.due = lambda _: False  # type: ignore[method-assign, assignment]


def _followed() -> None:
    """The log is signed, searched and pushed."""

    async def idle(*_: object) -> None:
        await asyncio.Event().wait()

    LogProcess.run = idle  # type: ignore[assignment]


GIVE_UP: Mapping[str, Callable[[], None]] = {"synced": _synced, "compared": _compared, "followed": _followed}

if __name__ == "__main__":
    GIVE_UP[sys.argv.pop(1)]()
    main()
