"""What policy tests reach, for people and machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pdp.core.digest import Json
from pdp.policy.gate import FileCoverage


def percent(files: Sequence[FileCoverage]) -> float:
    """Lines that were evaluated, of those that could be; 100 where there are none."""
    covered = sum(len(file.covered) for file in files)
    total = covered + sum(len(file.missed) for file in files)
    return 100 * covered / total if total else 100.0


def lines(files: Sequence[FileCoverage]) -> Iterator[str]:
    """A table: each file with its share, lines that nothing evaluated, elements that no test brought about."""
    width = max((len(file.path) for file in files), default=0)
    for file in files:
        missed = f"  lines {ranges(file.missed)}" if file.missed else ""
        yield f"{file.path:<{width}}  {percent([file]):5.1f} %{missed}"
        for element in file.elements:
            if not element.reached:
                what = f"`{element.code}` of `{element.rule}`"
                yield f"  {file.path}:{element.line}: no test of the pack brings about {what}"
    elements = [element for file in files for element in file.elements]
    reached = sum(element.reached for element in elements)
    yield f"{'all':<{width}}  {percent(files):5.1f} %  {reached} of {len(elements)} elements"


def fact(files: Sequence[FileCoverage]) -> dict[str, Json]:
    """`{percent, files: [{path, shipped, covered, missed, elements: [{code, rule, line, reached}]}]}`."""
    return {
        "percent": f"{percent(files):.1f}",
        "files": [
            {
                "path": file.path,
                "shipped": file.shipped,
                "covered": list(file.covered),
                "missed": list(file.missed),
                "elements": [
                    {"code": e.code, "rule": e.rule, "line": e.line, "reached": e.reached} for e in file.elements
                ],
            }
            for file in files
        ],
    }


def ranges(numbers: Sequence[int]) -> str:
    """`1, 2, 3, 7` as `1-3, 7`."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ", ".join("-".join(map(str, part)) for part in found)
