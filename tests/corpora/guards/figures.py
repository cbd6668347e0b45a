"""What guards catch and what they flag in vain, by source, for the table of `docs/guards.md`.

    python tests/corpora/guards/figures.py [FOLDER]

`cases.json` holds what may lie in this repository: {interpreter: {source: {attack | harmless: [text]}}}, `own.json`
what was written for it, and `ordinary_values.json` everyday values: {interpreter: [text]}. FOLDER holds another
`cases.json` with the lists that may not; without it `../shared/data/guards` is used where it is there. What is not
there keeps its figures of an earlier run, and says so. At the end it prints what is flagged of ordinary values.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pdp.content.guards.codes import CODES
from pdp.content.guards.run import codes

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
FIGURES = HERE / "figures.json"
ELSEWHERE = ROOT.parent / "shared/data/guards"
ORDINARY = "ordinary values"
TUNED = {
    "own",
    ORDINARY,
    "CRS",
    "payloadbox",
    "libinjection",
    "bluemonday",
    "simpleeval",
    "asteval",
    "email-validator",
}  # rules were changed because of them
TUNED_FOR = {("shell_word", "PyPI"), ("shell", "NL2Bash")}


def baseline() -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """(interpreter, code) that the baseline denies, and that it has somebody asked about."""
    pairs = [((kind, code), row.baseline) for kind, known in CODES.items() for code, row in known.items()]
    return {pair for pair, does in pairs if does == "denies"}, {pair for pair, does in pairs if does == "asks"}


def figures(cases: Mapping[str, Any]) -> dict[str, dict[str, int | str]]:
    """One row per interpreter, source and label: how many texts, denied, asked about."""
    denies, asks = baseline()
    rows: dict[str, dict[str, int | str]] = {}
    for kind, sources in cases.items():
        for source, labels in sources.items():
            for label, texts in labels.items():
                found = [_answer(kind, text, denies, asks) for text in texts]
                rows[f"{kind} / {source} / {label}"] = {
                    "role": "tuned" if source in TUNED or (kind, source) in TUNED_FOR else "reported",
                    "texts": len(texts),
                    "denied": found.count("denied"),
                    "asked": found.count("asked"),
                }
    return rows


def answers(kind: str, texts: Sequence[str]) -> dict[str, str]:
    """What is done about each text: `denied`, `asked`, or nothing."""
    denies, asks = baseline()
    return {text: _answer(kind, text, denies, asks) for text in texts}


def _answer(kind: str, text: str, denies: set[tuple[str, str]], asks: set[tuple[str, str]]) -> str:
    found = {(kind, code) for code in codes(kind, text)}
    if found & denies:
        return "denied"
    return "asked" if found & asks else ""


def load(folder: Path) -> dict[str, Any]:
    """The cases of a folder; none where it is not there."""
    cases: dict[str, Any] = {}
    for name in ("cases.json", "own.json"):
        for kind, sources in _json(folder / name).items():
            cases.setdefault(kind, {}).update(sources)
    for kind, texts in _json(folder / "ordinary_values.json").items():
        cases.setdefault(kind, {})[ORDINARY] = {"harmless": texts}
    return cases


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def in_vain(rows: Mapping[str, Any], source: str = ORDINARY) -> tuple[int, int, int]:
    """Of a source's harmless texts of all interpreters: how many, denied, asked about."""
    found = [row for name, row in rows.items() if name.endswith(f" / {source} / harmless")]
    texts, denied, asked = (sum(row[column] for row in found) for column in ("texts", "denied", "asked"))
    return texts, denied, asked


def main(arguments: Sequence[str]) -> None:
    """Write `figures.json`."""
    known = {name: {**row, "earlier": True} for name, row in _json(FIGURES).items()}
    known |= figures(load(HERE)) | figures(load(Path(arguments[0]) if arguments else ELSEWHERE))
    FIGURES.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    texts, denied, asked = in_vain(known)
    sys.stdout.write(f"{texts} ordinary values: {denied / texts:.1%} denied, {asked / texts:.1%} asked about\n")


if __name__ == "__main__":
    main(sys.argv[1:])
