"""No judge at all: what requires one fails, so that its `otherwise` or a denial is what is left."""

from __future__ import annotations

from collections.abc import Mapping

from pdp.core.digest import Json
from pdp.core.judge.matter import Matter, Opinion


class NoJudge:
    """Implements `ports.Judge` where the configuration names none."""

    def prompts(self) -> Mapping[str, str]:
        return {}

    async def opine(self, _tenant: str, _prompt: str, _matter: Matter, *, within_s: float) -> Opinion:  # noqa: ARG002 - the port's
        return Opinion("unavailable")

    def status(self) -> Mapping[str, Json]:
        return {"process": "none"}

    async def reload(self) -> tuple[str, ...]:
        return ()

    async def close(self) -> None:
        """There is nothing to end."""
