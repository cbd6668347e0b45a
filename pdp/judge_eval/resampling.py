"""Shares with intervals that respect repetition: whole clusters are drawn, never single lines. Pure and seeded."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

DRAWS = 2_000
SEED = 20261120
LEVEL = 0.95  # of an interval
LOW, HIGH = (1 - LEVEL) / 2, (1 + LEVEL) / 2


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `total`, with the 95 % interval of a cluster bootstrap. `value` is None of nothing."""

    hits: int
    total: int
    low: float | None = None
    high: float | None = None
    clusters: int = 0

    @property
    def value(self) -> float | None:
        return self.hits / self.total if self.total else None

    def fact(self) -> dict[str, Any]:
        return {
            "hits": self.hits,
            "total": self.total,
            "share": rounded(self.value),
            "low": rounded(self.low),
            "high": rounded(self.high),
            "clusters": self.clusters,
        }


def rounded(value: float | None, digits: int = 4) -> float | None:
    """Short enough to compare from run to run."""
    return None if value is None else round(value, digits)


def share(lines: Iterable[tuple[str, bool]], *, draws: int = DRAWS, seed: int = SEED) -> Share:
    """Lines are (cluster, hit). The interval is of the share when as many clusters are drawn again, with their
    lines; where all lines agree, the exact binomial one for as many draws as there are clusters."""
    groups = clustered((cluster, (int(hit), 1)) for cluster, hit in lines)
    hits, total = sum(h for h, _ in groups), sum(n for _, n in groups)
    if not total:
        return Share(0, 0)
    if hits in (0, total):  # and so in every draw; what may still come is bounded by how many clusters were seen
        least = (1 - LEVEL) / 2
        far = least ** (1 / len(groups))  # Clopper and Pearson
        low, high = (far, 1.0) if hits else (0.0, 1 - far)
        return Share(hits, total, low, high, len(groups))
    found = sorted(h / n for h, n in resampled(groups, draws, seed))
    return Share(hits, total, quantile(found, LOW), quantile(found, HIGH), len(groups))


def clustered(lines: Iterable[tuple[str, tuple[int, int]]]) -> list[tuple[int, int]]:
    """The sums of each cluster, in the order in which clusters first come."""
    groups: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for cluster, (one, two) in lines:
        before = groups[cluster]
        groups[cluster] = (before[0] + one, before[1] + two)
    return list(groups.values())


def resampled(groups: Sequence[tuple[int, int]], draws: int, seed: int) -> Iterable[tuple[int, int]]:
    """The sums over as many clusters as there are, drawn with replacement, `draws` times."""
    chance = random.Random(seed)  # noqa: S311 - statistics, and the same in every run
    for _ in range(draws):
        drawn = chance.choices(groups, k=len(groups))
        yield sum([one for one, _ in drawn]), sum([two for _, two in drawn])


def quantile(ordered: Sequence[float], part: float) -> float:
    """Of sorted values, interpolated between neighbours."""
    at = part * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)
