"""The port for the judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pdp.core.digest import Json
from pdp.core.judge.judge_input import JudgeInput, Opinion


class Judge(Protocol):
    """Sessions with a language model, each for one verdict. It holds no key and writes nothing down."""

    def prompts(self) -> Mapping[str, str]:
        """Prompt id to SHA-256 of what is loaded now (last good)."""
        ...

    async def opine(self, tenant: str, prompt: str, judge_input: JudgeInput, *, within_s: float) -> Opinion:
        """An opinion, of status `ok` or with the reason why there is none (`timeout` after `within_s` seconds of
        trying). Never raises, unless it is cancelled. Whoever asks decides how long to wait for it."""
        ...

    def status(self) -> Mapping[str, Json]:
        """Status for GetStatus: endpoint reachable, breaker, queue, budget."""
        ...

    async def reload(self) -> tuple[str, ...]:
        """Look at the prompts again; problems for the log, empty when all is well. What is broken stays as it was."""
        ...

    async def close(self) -> None: ...
