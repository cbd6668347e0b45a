"""How much the scan finds and how much it flags in vain, as the table of `docs/scan.md`.

    python tests/corpora/figures.py [FOLDER]

FOLDER holds corpora that are not in this repository, as `<role>_<source>.jsonl`; without it `../shared/data/scan`
is used where it is there. A line is {label: poisoned|clean, set: [{server, tools}], target: [server, name]}.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdp.registry.scan.finding import blocking
from pdp.registry.scan.scan import ScannedTool, scan

HERE = Path(__file__).parent
ELSEWHERE = HERE.parent.parent.parent / "shared/data/scan"


@dataclass(frozen=True, slots=True)
class Row:
    """One source: how many of its tools are flagged, that is, have a finding that keeps a set from being signed."""

    source: str
    role: str  # own | tuned | opened | held_out
    label: str  # poisoned | clean
    tools: int
    flagged: int

    @property
    def share(self) -> float:
        return self.flagged / self.tools


def rows(folder: Path | None = None) -> list[Row]:
    """The figures of the corpora beside this file, and of those in `folder`."""
    found = [*_cases("own paraphrases", "own", json.loads((HERE / "poisoned_own.json").read_text()))]
    own = json.loads((HERE / "clean_own.json").read_text())
    found.append(_servers("own descriptions", "own", [{"package": "own", "tools": own}]))
    for role in ("tuned", "held_out"):
        servers = [json.loads(path.read_text()) for path in sorted((HERE / "clean" / role).glob("*.json"))]
        found.append(_servers(f"{len(servers)} public servers", role, servers))
    outside = folder if folder is not None else ELSEWHERE
    for path in sorted(outside.glob("*.jsonl")):
        role, _, source = path.stem.rpartition("_")
        found.extend(_cases(source, role, [json.loads(line) for line in path.read_text().splitlines()]))
    return found


def flagged(tools: Sequence[ScannedTool]) -> set[tuple[str, str]]:
    """The tools that could not be signed unseen."""
    return {(one.server, one.tool) for one in blocking(scan(tools))}


def _servers(source: str, role: str, servers: list[dict[str, Any]]) -> Row:
    """Each server scanned as a set of its own."""
    sets = [[ScannedTool(server["package"], tool) for tool in server["tools"]] for server in servers]
    return Row(source, role, "clean", sum(map(len, sets)), sum(len(flagged(tools)) for tools in sets))


def _cases(source: str, role: str, cases: list[dict[str, Any]]) -> Iterator[Row]:
    counts: dict[str, list[bool]] = defaultdict(list)
    for case in cases:
        tools = [ScannedTool(part["server"], tool) for part in case["set"] for tool in part["tools"]]
        counts[case.get("label", "poisoned")].append(tuple(case["target"]) in flagged(tools))
    for label, hits in sorted(counts.items(), reverse=True):
        yield Row(source, role, label, len(hits), sum(hits))


def table(found: Sequence[Row]) -> str:
    """Markdown."""
    lines = ["| source | role | label | tools | flagged | share |", "| --- | --- | --- | ---: | ---: | ---: |"]
    for row in sorted(found, key=lambda r: (r.label, r.role, r.source), reverse=True):
        cells = (row.source, row.role, row.label, str(row.tools), str(row.flagged), f"{row.share:.1%}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(table(rows(Path(sys.argv[1]) if len(sys.argv) > 1 else None)) + "\n")
