"""Something that is under way for as long as a test wants."""

from __future__ import annotations

import asyncio
from typing import Any


class Held:
    """Holds back one call of an inner object until released."""

    def __init__(self, inner: Any, name: str) -> None:
        self.inner, self.name = inner, name
        self.reached, self.release = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name != self.name:
            return found

        async def held(*args: Any, **named: Any) -> Any:
            self.reached.set()
            await self.release.wait()
            return await found(*args, **named)

        return held
