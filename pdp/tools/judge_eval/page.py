"""The report as one HTML page: nothing is loaded from anywhere, nothing runs, and what others wrote is inert."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pdp.core.judge.render import shown
from pdp.core.text.safety import visible
from pdp.tools.judge_eval.figures import OUTCOMES

_NAMES = {
    "attacks_let_through": "attacks let through",
    "attacks_to_people": "attacks passed on to people",
    "benign_denied": "benign calls denied",
    "benign_to_people": "benign calls passed on to people",
    "benign_let_through": "benign calls let through",
}
_LABELS = {"deny": "attack", "allow": "benign"}
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --bad: #b3261e; --good: #1b6e3c }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --good: #7ddc9f } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem }
.tile { flex: 1 1 13rem; background: var(--soft); padding: .7rem .9rem; border-radius: .4rem }
.tile b { display: block; font-size: 1.5rem } .bad b { color: var(--bad) } .good b { color: var(--good) }
small, .note { opacity: .75 } details { border-bottom: 1px solid var(--line); padding: .5rem 0 }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--soft); padding: .5rem; margin: .3rem 0;
  unicode-bidi: isolate }
summary { cursor: pointer } .deny { color: var(--bad) }
"""
_HEAD = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f"<title>Judge evaluation</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
)


def page(fact: Mapping[str, Any]) -> str:
    """`fact` is that of `Report`."""
    parts = [
        _HEAD,
        _top(fact),
        _tiles(fact["shares"]),
        _exposure(fact["exposure"]) if fact["exposure"] else "",
        _comparison(fact["comparison"]) if fact["comparison"] else "",
        _confusion(fact["confusion"]),
        *(_groups(name, fact[f"by_{name}"]) for name in ("source", "risk")),
        _calibration(fact["calibration"]),
        _effort(fact["effort"]),
        _worst(fact["worst"]),
        "</body>\n</html>\n",
    ]
    return "".join(parts)


def _top(fact: Mapping[str, Any]) -> str:
    cases, judge, unheard = fact["cases"], fact["judge"], fact["unheard"]
    missing = f" On {unheard} of them the endpoint did not answer; they count as no verdict." if unheard else ""
    own_name = f" (it calls itself {_one(', '.join(judge['said_models']))})" if judge["said_models"] else ""
    return (
        f"<h1>How good is the judge?</h1>\n<p>Model <b>{_one(judge['model'])}</b>{own_name}, prompt "
        f"<b>{_one(judge['prompt'])}</b> <small>{_one(judge['prompt_sha256'])}</small>.</p>\n"
        f"<p>{cases['count']} cases of {_one(cases['file'])}: {cases['attacks']} attacks "
        f"({cases['attackers_calls']} different calls) and {cases['benign']} calls that serve the task "
        f"({cases['tasks']} tasks).{missing}</p>\n"
        '<p class="note">An allow counts from a confidence of '
        f"{fact['min_confidence']}; below, people are asked. Brackets hold 95 % intervals, drawn over attackers' "
        "calls and tasks: lines that repeat each other are not counted as evidence twice.</p>\n"
    )


def _tiles(shares: Mapping[str, Any]) -> str:
    tiles = [
        f'<div class="tile {_tone(name)}"><b>{_percent(each["share"])}</b>{_NAMES[name]}<br>'
        f"<small>{each['hits']} of {each['total']} {_interval(each)}</small></div>"
        for name, each in shares.items()
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>\n'


def _tone(name: str) -> str:
    return {"attacks_let_through": "bad", "benign_let_through": "good"}.get(name, "")


def _exposure(exposure: Mapping[str, Any]) -> str:
    rows = [
        ("attacks that policy leaves to the judge alone, or to nobody (exposure)", exposure["exposure"]),
        ("benign calls that need a person, with any verdict of the judge", exposure["benign_person"]),
        ("attacks let through by policy and this judge together", exposure["with_this_judge"]["attacks_let_through"]),
        ("benign calls that reach people with this judge", exposure["with_this_judge"]["benign_to_people"]),
    ]
    ways = exposure["judge"]
    return (
        f"<h2>With the shipped policy</h2>\n<p>people: {_one(ways['people'])}, medium: {_one(ways['medium'])}</p>\n"
        + _table(("", "share", "of"), [(name, _with_interval(each), _of(each)) for name, each in rows])
    )


def _comparison(comparison: Mapping[str, Any]) -> str:
    other = comparison["with"]
    rows = [
        (
            _NAMES[name],
            _signed(each["difference"]),
            f"{_signed(each['low'])} to {_signed(each['high'])}",
            str(each["only_this"]),
            str(each["only_other"]),
            f"{each['p']:.3f}",
        )
        for name, each in comparison["figures"].items()
        if each is not None
    ]
    heads = ("this run minus the other", "difference", "95 %", "only this", "only the other", "p")
    return (
        f"<h2>Compared</h2>\n<p>With model <b>{_one(other['model'])}</b>, prompt <b>{_one(other['prompt'])}</b> "
        f"<small>{_one(other['prompt_sha256'])}</small>, on the cases that both answered.</p>\n{_table(heads, rows)}"
    )


def _confusion(confusion: Mapping[str, Mapping[str, int]]) -> str:
    rows = [(_LABELS[label], *(str(counts[o]) for o in OUTCOMES)) for label, counts in confusion.items()]
    return f"<h2>Verdicts</h2>\n{_table(('', *OUTCOMES), rows)}"


def _groups(name: str, groups: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [(_one(value), *(_cell(shares[key]) for key in _NAMES)) for value, shares in groups.items()]
    return f"<h2>By {name}</h2>\n{_table((name, *_NAMES.values()), rows, escaped=True)}"


def _calibration(calibration: Mapping[str, Any]) -> str:
    rows = [
        (f"{b['from']} to {b['to']}", str(b["count"]), _percent(b["confidence"]), _percent(b["right"]))
        for b in calibration["bins"]
        if b["count"]
    ]
    ece = "nothing to measure" if calibration["ece"] is None else f"{calibration['ece']:.3f}"
    table = _table(("confidence", "verdicts", "on average", "right"), rows)
    return f"<h2>Is it as right as it is sure?</h2>\n<p>Expected calibration error: {ece}</p>\n{table}"


def _effort(effort: Mapping[str, Any]) -> str:
    names = {"latency_ms": "latency, ms", "tokens_in": "tokens read", "tokens_out": "tokens written"}
    rows = [(title, *(f"{effort[key][q]:g}" for q in ("p50", "p95", "max"))) for key, title in names.items()]
    statuses = ", ".join(f"{_one(status)} {count}" for status, count in effort["statuses"].items())
    total = effort["tokens"]
    return (
        f"<h2>What it took</h2>\n{_table(('', 'p50', 'p95', 'max'), rows)}<p>In all {total['in']} tokens read and "
        f"{total['out']} written; cost {effort['cost']:g}. Answers: {statuses}.</p>\n"
    )


def _worst(cases: Sequence[Mapping[str, Any]]) -> str:
    if not cases:
        return "<h2>Worst cases</h2>\n<p>None: no attack let through, no benign call denied.</p>\n"
    return "<h2>Worst cases</h2>\n" + "".join(map(_case, cases))


def _case(each: Mapping[str, Any]) -> str:
    rules = f" ({_one(', '.join(each['violated']))})" if each["violated"] else ""
    blocks = (
        ("task", each["task"]),
        ("arguments", json.dumps(each["arguments"], ensure_ascii=False, indent=1)),
        ("read before", each["observation"] or "(nothing)"),
        ("what the model wrote", each["rationale"] or "(nothing)"),
    )
    body = "".join(f"<small>{title}</small><pre>{_block(text)}</pre>" for title, text in blocks)
    verdict = f"{_one(each['outcome'])}, confidence {each['confidence']}"
    return (
        f'<details><summary><span class="{_one(each["label"])}">{_LABELS[each["label"]]}</span> '
        f"<b>{_one(each['tool'])}</b>: {verdict}{rules} <small>{_one(each['source'])}, {_one(each['risk'])}, "
        f"{_one(each['agent'])}, {_one(each['id'])}</small></summary>{body}</details>\n"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, escaped: bool = False) -> str:
    """Cells are text, or, when they are `escaped`, ready."""
    ready = str if escaped else html.escape
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{ready(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>\n"


def _cell(share: Mapping[str, Any]) -> str:
    return f"{_percent(share['share'])}<br><small>{_of(share)} {_interval(share)}</small>" if share["total"] else "-"


def _with_interval(share: Mapping[str, Any]) -> str:
    return f"{_percent(share['share'])} {_interval(share)}"


def _interval(share: Mapping[str, Any]) -> str:
    return "" if share["low"] is None else f"[{_percent(share['low'])}, {_percent(share['high'])}]"


def _of(share: Mapping[str, Any]) -> str:
    return f"{share['hits']} of {share['total']}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _signed(value: float) -> str:
    return f"{value:+.1%}"


def _one(text: str) -> str:
    """Foreign text within a line."""
    return html.escape(visible(text))


def _block(text: str) -> str:
    """Foreign text as a block, as the judge saw it."""
    return html.escape(shown(text))
