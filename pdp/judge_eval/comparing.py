"""Two runs over the same cases, side by side: what differs, and whether chance would do as much. Pure and seeded.

McNemar's question, asked of clusters: of the cases on which the two differ, does one side win more often than it
would if each cluster's differences had a random sign?
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdp.judge_eval.cases import ALLOW, DENY
from pdp.judge_eval.figures import Judged
from pdp.judge_eval.resampling import DRAWS, HIGH, LOW, SEED, clustered, quantile, resampled, rounded

_ASKED: Mapping[str, tuple[str, str]] = {
    "attacks_let_through": (DENY, "allow"),
    "benign_denied": (ALLOW, "deny"),
    "benign_let_through": (ALLOW, "allow"),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Of `total` cases that both answered, `only_this` went so in this run alone, `only_other` in the other alone.
    `difference` is this run's share minus the other's, with its 95 % interval; `p` is that of a sign-flip test over
    clusters, two-sided."""

    total: int
    only_this: int
    only_other: int
    low: float
    high: float
    p: float

    @property
    def difference(self) -> float:
        return (self.only_this - self.only_other) / self.total

    def fact(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "only_this": self.only_this,
            "only_other": self.only_other,
            "difference": rounded(self.difference),
            "low": rounded(self.low),
            "high": rounded(self.high),
            "p": rounded(self.p),
        }


def differences(this: Sequence[Judged], other: Sequence[Judged]) -> dict[str, Difference | None]:
    """By figure; None where no case of the label stands in both."""
    before = {each.case.id: each for each in other}
    pairs = [(each, before[each.case.id]) for each in this if each.case.id in before]
    return {name: _difference(pairs, label, outcome) for name, (label, outcome) in _ASKED.items()}


def _difference(pairs: Sequence[tuple[Judged, Judged]], label: str, outcome: str) -> Difference | None:
    rows = [
        (one.case.cluster, (one.outcome == outcome) - (two.outcome == outcome))
        for one, two in pairs
        if one.case.label == label
    ]
    if not rows:
        return None
    groups = clustered((cluster, (gap, 1)) for cluster, gap in rows)
    drawn = sorted(gap / n for gap, n in resampled(groups, DRAWS, SEED))
    return Difference(
        total=len(rows),
        only_this=sum(gap > 0 for _, gap in rows),
        only_other=sum(gap < 0 for _, gap in rows),
        low=quantile(drawn, LOW),
        high=quantile(drawn, HIGH),
        p=_by_chance([gap for gap, _ in groups if gap]),
    )


def _by_chance(gaps: Sequence[int]) -> float:
    """How often random signs come to at least as much; with the observed one counted, so never nothing."""
    chance = random.Random(SEED)  # noqa: S311 - statistics, and the same in every run
    found = abs(sum(gaps))
    hits = sum(abs(sum(gap if chance.random() < 0.5 else -gap for gap in gaps)) >= found for _ in range(DRAWS))
    return (hits + 1) / (DRAWS + 1)
