"""Write the table of docs/engine-differences.md; with --check, report whether it is fresh."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "engine-differences.md"
BEGIN, END = "<!-- differences: made by tests/conformance/render.py -->\n", "<!-- end of differences -->"
WORDS = {
    "refused": "refused: `{code}`",
    "input": "cannot reach an engine",
    "equal": "made equal",
    "loud": "loud: the error denies",
    "harmless": "harmless",
}


def table() -> str:
    """The table, one row per difference, worst first."""
    rows = yaml.safe_load((HERE / "differences.yaml").read_text())
    lines = ["| what | OPA | embedded | the gate | conformance cases |", "|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda r: list(WORDS).index(r["gate"])):
        treated = WORDS[row["gate"]].format(**row) + (f". {row['why']}" if "why" in row else "")
        cases = ", ".join(f"`{case}`" for case in row.get("cases", ()))
        cells = (row["says"], row["opa"], row["embedded"], treated, cases)
        lines.append("| " + " | ".join(str(c).replace("|", "\\|").replace("\n", " ") for c in cells) + " |")
    total = len((HERE / "rego_conformance.jsonl").read_text().splitlines())
    differing = sum(len(row.get("cases", ())) for row in rows)
    lines += ["", f"{total} conformance snippets: {total - differing} answered alike, {differing} in the table."]
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with its table made anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name}: the marks of the table are missing; put them back")
    return f"{before}{BEGIN}\n{table()}\n\n{END}{after}"


def main() -> int:
    """Exit code 1 when --check finds a stale page."""
    text = PAGE.read_text()
    made = page(text)
    if "--check" in sys.argv[1:]:
        return 0 if made == text else 1
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
