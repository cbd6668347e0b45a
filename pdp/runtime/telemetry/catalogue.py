"""Catalogue of spans, attributes and metrics (`catalogue.toml`): source of the instruments, of docs/telemetry.md and
docs/metrics.md."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.ports.telemetry import Instrument
from pdp.core.tables import tables
from pdp.runtime.features import FEATURES


@dataclass(frozen=True, slots=True)
class CallStage:
    """A child span `pdp.<name>` of a call, and a value of `pdp.stage` in `pdp.stage.duration`."""

    name: str
    says: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of spans or metrics."""

    name: str
    says: str
    where: str  # in words


_ROWS = tables(__file__)
STAGES = tuple(CallStage(name, says) for name, says in _ROWS["stages"].items())
ATTRIBUTES = tuple(Attribute(**row) for row in _ROWS["attributes"])
INSTRUMENTS = (
    *(Instrument(**row) for row in _ROWS["instruments"]),
    *(each for feature in FEATURES for each in feature.instruments),
)
_KINDS = {"counter": "counter", "histogram": "histogram", "level": "gauge", "up_down": "up-down counter"}


def page_tables() -> dict[str, str]:
    """The tables of the two pages, by name."""
    stages = [f"| `pdp.{s.name}` | {s.says} |" for s in STAGES]
    attributes = [f"| `{a.name}` | {a.where} | {a.says} |" for a in ATTRIBUTES]
    metrics = [
        f"| `{i.name}` | {_KINDS[i.kind]} | {i.unit} | {', '.join(f'`{a}`' for a in i.attributes)} | {i.says} |"
        for i in INSTRUMENTS
    ]
    return {
        "stages": "\n".join(["| span | what happens |", "|---|---|", *stages]),
        "attributes": "\n".join(["| attribute | of | value |", "|---|---|---|", *attributes]),
        "metrics": "\n".join(["| metric | kind | unit | attributes | value |", "|---|---|---|---|---|", *metrics]),
    }
