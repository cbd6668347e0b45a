"""`pdp serve` with nobody following its log: beside the whole one it shows what the consumers of the log cost."""

from __future__ import annotations

import asyncio

from pdp.cli.main import main
from pdp.proof.index import SearchIndex
from pdp.proof.publisher import Publisher
from pdp.proof.pushes import Push


async def _idle(_consumer: SearchIndex | Publisher | Push) -> None:
    await asyncio.Event().wait()


if __name__ == "__main__":
    for consumer in (SearchIndex, Publisher, Push):
        consumer.run = _idle  # type: ignore[assignment] # it has no switch of its own
    main()
