"""CPU of what sessions and results cost beside a Decide: session state, origins, and the inspection of results.

All of it runs in this process, in turn with the stages of a Decide (their sum, the worker's part and the sync
included) and with a bare parse of the same JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from devtools.bench.figures import Figure, Spread
from devtools.bench.measure import Bench
from devtools.bench.stages import ORIGINS, SESSION, stages
from pdp.content.results import inspect
from pdp.core.call.origins import of_result

SIZES = {"1 KB": 1_000, "100 KB": 100_000, "1 MB": 1_000_000}
OURS = "results"
_TIMES = 200  # of the stages, for each second of a round
_DOCS = Path(__file__).resolve().parents[2] / "docs"


def results(bench: Bench) -> list[Figure]:
    """Shares of a Decide: a median above 1 is more than one."""
    world, rounds = bench.world(OURS), bench.pace.rounds
    raws = {name: result(size) for name, size in SIZES.items()}
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        staged, _ = stages(world, max(10, int(_TIMES * bench.pace.seconds)))
        cost = {each.name: each.server_us + each.workers_us for each in staged}
        decide = sum(each for name, each in cost.items() if not name.startswith("("))
        for name in (SESSION, ORIGINS):
            found.setdefault(f"{name[1:-1].removeprefix('of it: ')} of a call over Decide", []).append(
                (cost[name], decide)
            )
        for name, raw in raws.items():
            looked = _cpu_us(lambda raw=raw: inspect(raw, "", None, max_bytes=len(raw)), bench.pace.seconds)  # type: ignore[misc]
            parsed = _cpu_us(lambda raw=raw: json.loads(raw), bench.pace.seconds / 10)  # type: ignore[misc]
            value = json.loads(raw)
            seen = _cpu_us(lambda value=value: of_result(value, ()), bench.pace.seconds / 10)  # type: ignore[misc]
            found.setdefault(f"inspection of a result of {name} over Decide", []).append((looked, decide))
            found.setdefault(f"inspection of a result of {name} over a bare parse", []).append((looked, parsed))
            found.setdefault(f"origins of a result of {name} over Decide", []).append((seen, decide))
    return [_figure(what, pairs) for what, pairs in found.items()]


def result(size: int) -> bytes:
    """A tool's result of about so many bytes: pages of these docs, as often as it takes."""
    pages = "\n".join(page.read_text() for page in sorted(_DOCS.glob("*.md")))
    text = (pages * (size // len(pages) + 1))[:size]
    return json.dumps({"content": [{"type": "text", "text": text}]}, ensure_ascii=False).encode()


def _figure(what: str, pairs: list[tuple[float, float]]) -> Figure:
    ours, base = (sorted(each)[len(pairs) // 2] for each in zip(*pairs, strict=True))
    name = f"{OURS}-{what.replace(' ', '-')}"
    return Figure(
        name, f"CPU: {what}", Spread(tuple(a / b for a, b in pairs)), None, f"{ours:.0f} us over {base:.0f} us"
    )


def _cpu_us(step: Callable[[], object], seconds: float) -> float:
    """Of one step, run for about so long, and once at least."""
    step()
    began, times = time.process_time(), 0
    while not times or time.process_time() - began < seconds:
        step()
        times += 1
    return (time.process_time() - began) / times * 1e6
