"""A whole run, for machines and for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from devtools.bench.figures import Figure, Stage
from devtools.bench.measure import Pace
from pdp.core.digest import Json

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Report:
    """`load` is the load average at the start and at the end: what else the machine had to do shows there."""

    machine: Mapping[str, Json]
    load: tuple[float, float]
    pace: Pace
    figures: tuple[Figure, ...]
    stages: tuple[Stage, ...] = ()

    def json(self) -> Mapping[str, Json]:
        """Everything, with the single rounds."""
        return {
            "format": FORMAT,
            "machine": self.machine,
            "load_average": {"start": self.load[0], "end": self.load[1]},
            "pace": asdict(self.pace),
            "figures": [figure.json() for figure in self.figures],
            "stages": [
                {"name": s.name, "server_us": round(s.server_us, 1), "workers_us": round(s.workers_us, 1)}
                for s in self.stages
            ],
        }

    def caption(self) -> str:
        """The machine in a line."""
        said = self.machine
        return (
            f"{said['cpu']}, {said['cores']} cores, {said['kernel']}, {said['python']}; load average "
            f"{self.load[0]:g} at the start, {self.load[1]:g} at the end"
        )
