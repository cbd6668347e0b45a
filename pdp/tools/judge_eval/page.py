"""The report as one HTML page: nothing is loaded from anywhere, nothing runs, and what others wrote is inert."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pdp.core.judge.render import shown
from pdp.core.text.safety import visible

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left }
.note { opacity: .75 } details { border-bottom: 1px solid var(--line); padding: .5rem 0 } summary { cursor: pointer }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--soft); padding: .5rem; margin: .3rem 0;
  unicode-bidi: isolate }
"""
_HEAD = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f"<title>Judge evaluation</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>How good is the judge?</h1>\n"
)
_NOTE = (
    '<p class="note">An allow below the confidence is unsure, and people are asked. Brackets hold 95 % intervals, '
    "drawn over attackers' calls and tasks: lines that repeat each other are not counted as evidence twice.</p>\n"
)
_TITLES = {
    "judge": "The judge",
    "cases": "The cases",
    "shares": "Attacks (label deny) and benign calls",
    "exposure": "With the shipped policy",
    "comparison": "Compared: this run minus the other",
    "confusion": "Verdicts",
    "by_source": "By source",
    "by_risk": "By risk",
    "calibration": "Is it as right as it is sure?",
    "effort": "What it took",
}


def page(fact: Mapping[str, Any]) -> str:
    """`fact` is that of `EvaluationReport`."""
    confidence = f"<p>Confidence of an allow: {fact['min_confidence']}; without an answer: {fact['unheard']}.</p>\n"
    sections = (f"<h2>{title}</h2>\n{_section(fact[name])}" for name, title in _TITLES.items() if fact[name])
    worst = "".join(map(_case, fact["worst"])) or "<p>None: no attack let through, no benign call denied.</p>\n"
    return "".join((_HEAD, confidence, _NOTE, *sections, f"<h2>Worst cases</h2>\n{worst}", "</body>\n</html>\n"))


def _section(values: Mapping[str, Any]) -> str:
    """One table where all are groups of single values; else one of what is single, and one for each group or list."""
    groups = [value for value in values.values() if value is not None]
    if groups and all(_is_group(each) and not any(map(_is_table, each.values())) for each in groups):
        heads = list(dict.fromkeys(head for each in groups for head in each))
        return _table(("", *heads), ([name, *map((each or {}).get, heads)] for name, each in values.items()))
    rows = [(name.replace("_", " "), value) for name, value in values.items() if not _is_table(value)]
    parts = [_table(("", ""), rows)] if rows else []
    for name, value in values.items():
        if _is_table(value):
            told = _list(value) if isinstance(value, list) else _section(value)
            parts.append(f"<h3>{_label(name)}</h3>\n{told}")
    return "".join(parts)


def _list(values: Sequence[Mapping[str, Any]]) -> str:
    return _table(list(values[0]), (each.values() for each in values))


def _is_group(value: Any) -> bool:
    return isinstance(value, Mapping) and "share" not in value


def _is_table(value: Any) -> bool:
    return _is_group(value) or (isinstance(value, list) and bool(value) and _is_group(value[0]))


def _case(each: Mapping[str, Any]) -> str:
    blocks = {
        "task": each["task"],
        "arguments": json.dumps(each["arguments"], ensure_ascii=False, indent=1),
        "read before": each["observation"] or "(nothing)",
        "what the model wrote": each["rationale"] or "(nothing)",
    }
    body = "".join(f"<small>{title}</small><pre>{html.escape(shown(text))}</pre>" for title, text in blocks.items())
    named = ("label", "tool", "outcome", "confidence", "violated", "source", "risk", "agent", "id")
    return f"<details><summary>{', '.join(_cell(each[name]) for name in named)}</summary>{body}</details>\n"


def _table(heads: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    head = "".join(f"<th>{_label(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>\n"


def _cell(value: Any) -> str:
    """A share with its interval, a number, or foreign text within a line."""
    if isinstance(value, Mapping):
        between = f" [{_percent(value['low'])}, {_percent(value['high'])}]" if value.get("low") is not None else ""
        return f"{_percent(value.get('share'))}{between} {value['hits']} of {value['total']}"
    if isinstance(value, list):
        return ", ".join(map(_cell, value)) or "-"
    return "-" if value is None else _text(str(value))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _label(name: str) -> str:
    return _text(name.replace("_", " "))


def _text(text: str) -> str:
    return html.escape(visible(text))
