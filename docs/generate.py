# ruff: noqa: INP001, D100 - a build script, see the docstring of main
from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from approval_states import picture

from devtools import config_reference
from pdp.content.guards.codes import CODES, MAX_BYTES, UNPARSED, Code
from pdp.core.call.interpreters import KINDS
from pdp.core.outcome.codes import CONTROLS, SERVED, UNSERVED
from pdp.runtime.config.reference import DESCRIPTIONS, EXAMPLE
from pdp.runtime.config.settings import Settings
from pdp.tools.checklist.items import ITEMS, PHASES, SOURCES

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "facts": ROOT / "docs" / "policy-input.md",
    "baseline": ROOT / "docs" / "policy-baseline.md",
    "controls": ROOT / "docs" / "controls.md",
    "checklist": ROOT / "docs" / "checklist-items.md",
    "guards": ROOT / "docs" / "argument-guards-codes.md",
    "guard-figures": ROOT / "docs" / "argument-guards-measured.md",
    "bench": ROOT / "docs" / "bench.md",
    "cost": ROOT / "README.md",
    "exposure": ROOT / "docs" / "exposure.md",
    "drafts": ROOT / "docs" / "registry-drafts.md",
}
DRAFTS = ROOT / "tests" / "corpora" / "drafts"  # figures by `make drafts`
BENCH = ROOT / "docs" / "bench.json"  # by `pdp bench --json`
SESSIONS = ROOT / "tests" / "corpora" / "sessions" / "exposure.json"  # by `make sessions-exposure`
_COMPARED = ("equal", "worse", "milder")
_VERDICTS = {"aim": "aim reached", "first": "first met", "missed": "**first missed**", "": ""}
BASELINE = ROOT / "rego" / "baseline"
GUARD_FIGURES = ROOT / "tests" / "corpora" / "guards" / "figures.json"  # by its figures.py
GUARDS = ROOT / "rego" / "lib" / "guards.rego"
PICTURE = ROOT / "docs" / "img" / "approval-states.svg"
INPUT = ROOT / "rego" / "schemas" / "input.json"
RECORD = ROOT / "pdp" / "proof" / "record.schema.json"
_TITLE = re.compile(r"^# title: (.+)$", re.MULTILINE)
_RULE = re.compile(r"^(allow|hide|deny|require|oblige|label) contains \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r'^\t"(code|control|waivable|kind|stage|min_assurance)": "?(\[[^]]+\]|[^",]+)"?,$', re.MULTILINE)


def facts() -> str:
    """The facts that packs may read, one row per leaf of the input schema."""
    schema = json.loads(INPUT.read_text())
    lines = ["| fact | type | read by | trust |", "|---|---|---|---|"]
    reserved: list[str] = []
    for path, node, told in _leaves(schema, "input", {}):
        if told.get("x-pdp-readers") == "pdp":
            top = ".".join(path.split(".")[:2]).removesuffix("[_]")
            reserved += [] if top in reserved else [top]
            continue
        phase = {"tool": "lists and calls", "result": "results"}.get(str(told.get("x-pdp-phase")), "calls")
        lines.append(f"| `{path}` | {_type(node)} | {phase} | {told.get('x-pdp-trust', '')} |")
    lines += ["", f"Only the composition reads {', '.join(f'`{name}`' for name in reserved)}."]
    return "\n".join(lines)


def rules() -> str:
    """The baseline, one row per element."""
    lines = ["| code | control | rule | waivable | says |", "|---|---|---|---|---|"]
    for path in sorted(BASELINE.glob("*.rego")):
        if path.name.endswith("_test.rego"):
            continue
        text = path.read_text()
        for found in _RULE.finditer(text):
            titles = _TITLE.findall(text[: found.start()])
            field = dict(_FIELD.findall(found[2]))
            kind = f"`{found[1]}`" + (f" {field['kind']}, stage {field['stage']}" if "stage" in field else "")
            kind += ", by passkey" if field.get("min_assurance") == "passkey" else ""
            waivable = "yes" if field.get("waivable") == "true" else "no"
            lines.append(f"| `{field['code']}` | {_named(field['control'])} | {kind} | {waivable} | {titles[-1]} |")
    return "\n".join(lines)


def _controls(text: str) -> list[str]:
    return re.findall(r"[A-Z0-9.-]+", text)


def _named(text: str) -> str:
    return ", ".join(_controls(text))


def guards() -> str:
    """What guards find, one line per code, with what the baseline does."""
    rows: dict[tuple[str, Code], list[str]] = {}
    for kind, known in CODES.items():
        for code, row in known.items():
            rows.setdefault((code, row), []).append(f"`{kind}`")
    by_kinds: dict[str, list[str]] = {}
    for (code, (baseline, means)), kinds in rows.items():
        readers = "all of them" if len(kinds) == len(CODES) else ", ".join(kinds)
        by_kinds.setdefault(readers, []).append(
            f"- `{code}`{'' if baseline == 'tells' else f' ({baseline})'}: {means}"
        )
    lines = [line for readers, found in by_kinds.items() for line in (f"**{readers}**", "", *found, "")]
    lengths = ", ".join(f"`{kind}` {length:,}" for kind, length in MAX_BYTES.items())
    return "\n".join([*lines, f"Longest text that is read, in bytes: {lengths}."])


def guards_rego() -> str:
    """The baseline's library of guards, with the two tables that are made of the rows of codes."""
    text = GUARDS.read_text()
    for table, baseline in (("severe", "denies"), ("doubtful", "asks")):
        rows = [f"{table} := {{"]
        for kind, known in CODES.items():
            named = sorted(code for code, row in known.items() if row.baseline == baseline and code != UNPARSED)
            rows.append(f'\t"{kind}": {{{", ".join(map(json.dumps, named))}}},')
        text, made = re.subn(
            rf"^{table} := \{{\n.*?^\}}", "\n".join([*rows, "}"]), text, flags=re.DOTALL | re.MULTILINE
        )
        if made != 1:
            raise ValueError(f"{GUARDS.name}: the table '{table}' is missing; put it back")
    return text


def with_kinds(schema: Path, indent: int) -> str:
    """A schema, with the kinds of interpreters that are new in it: kinds are added, never taken away."""
    document = json.loads(schema.read_text())
    pending: list[Any] = [document]
    while pending:
        found = pending.pop()
        if isinstance(found, list) and "shell_word" in found:
            found += [kind for kind in KINDS if kind not in found]
        elif isinstance(found, dict | list):
            pending += found.values() if isinstance(found, dict) else found
    return json.dumps(document, indent=indent) + "\n"


def guard_figures() -> str:
    """What guards catch and flag in vain, one row per interpreter and source."""
    rows = json.loads(GUARD_FIGURES.read_text())
    heads = "| interpreter | source | | attacks | denied | asked about | harmless | denied | asked about |"
    lines = [heads, "|---|---|---|---|---|---|---|---|---|"]
    for name in sorted({key.rpartition(" / ")[0] for key in rows}, key=lambda name: _guard_order(name, rows)):
        kind, _, source = name.partition(" / ")
        found = [rows.get(f"{name} / {label}") for label in ("attack", "harmless")]
        role, earlier = next((row["role"], row.get("earlier")) for row in found if row)
        cells = [cell for row in found for cell in _shares(row)]
        lines.append(f"| `{kind}` | {source} | {role}{', earlier' if earlier else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _guard_order(name: str, rows: Mapping[str, Any]) -> tuple[int, bool, str]:
    kind, _, source = name.partition(" / ")
    row = rows.get(f"{name} / attack") or rows[f"{name} / harmless"]
    return list(CODES).index(kind), row["role"] == "tuned", source


def _shares(row: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if row is None:
        return "", "", ""
    denied, asked = (f"{100 * row[each] / row['texts']:.1f} %" for each in ("denied", "asked"))
    return str(row["texts"]), denied, asked


def controls() -> str:
    """The controls, with the codes of the denials that serve each."""
    served: dict[str, list[str]] = {control: [] for control in CONTROLS}
    for code, named in SERVED.items():
        for control in named:
            served[control].append(f"`{code}`" if "." in code or code == "already_redeemed" else f"`{code}.*`")
    for code, cell in re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", rules(), re.MULTILINE):
        for control in _controls(cell):
            served[control].append(f"`{code}`")
    lines = ["| control | item | codes |", "|---|---|---|"]
    lines += [f"| {c} | {item} | {', '.join(served[c]) or UNSERVED[c]} |" for c, item in CONTROLS.items()]
    return "\n".join(lines)


def checklist() -> str:
    """The items in the order of their phases, with their checks; what each check asks; their relatives."""
    lines: list[str] = []
    for number, text in PHASES.items():
        lines += [f"### Phase {number}", "", f"{text[0].upper()}{text[1:]}.", ""]
        lines += ["| item | | checks |", "|---|---|---|"]
        for item in (each for each in ITEMS if each.phase == number):
            named = ", ".join(f"`{check.name}`" for check in item.checks)
            lines.append(f"| {item.id} | {item.title} | {named} |")
        lines.append("")
    asked = {check.name: check.asks for item in ITEMS for check in item.checks}
    lines += ["### Checks", "", "| check | passes where |", "|---|---|"]
    lines += [
        f"| `{name}` | {text} |"
        for name, text in sorted(asked.items())
        if name.removeprefix("policy.") not in CONTROLS
    ]
    lines.append(
        "| `policy.` and a control | policy has the [baseline's elements](policy-baseline.md) for it, unwaived |"
    )
    lines += ["", "### Relatives", "", "| items | NIST AI RMF | ISO/IEC 42001 | EU AI Act |", "|---|---|---|---|"]
    for relatives in dict.fromkeys(item.relatives for item in ITEMS):
        ids = ", ".join(item.id for item in ITEMS if item.relatives == relatives)
        lines.append(f"| {ids} | {' | '.join(', '.join(texts) for _, texts in relatives)} |")
    return "\n".join([*lines, "", f"Cited from: {'; '.join(SOURCES.values())}."])


def bench(report: Mapping[str, Any]) -> str:
    """Every figure of a run of the bench."""
    versions = ", ".join(f"{name} {version}" for name, version in report["machine"]["versions"].items())
    lines = [
        _run(report),
        f"{versions}.",
        "",
        "| figure | median | range | first | aim | | absolute |",
        "|---|---|---|---|---|---|---|",
    ]
    for figure in report["figures"]:
        goal, spread = figure["goal"], ("-", "-")
        if figure["median"] is not None:
            spread = f"{figure['median']:.2f}", f"{figure['low']:.2f}-{figure['high']:.2f}"
        marks = ("", "") if goal is None else (_mark(goal, "first"), _mark(goal, "aim"))
        cells = (figure["what"], *spread, *marks, _VERDICTS[figure["verdict"]], figure["note"].replace(" us", " µs"))
        lines.append(f"| {' | '.join(cells)} |")
    if report["stages"]:
        lines += [
            "",
            "One call at a time, in one process:",
            "",
            "| stage | server µs | workers µs |",
            "|---|---|---|",
        ]
        lines += [f"| {s['name']} | {s['server_us']:.0f} | {s['workers_us']:.0f} |" for s in report["stages"]]
    return "\n".join(lines)


_POLICIES = {
    "strict": "strict",
    "strict, judge at medium risk": "strict, `judge.medium: instead`",
    "balanced": "**balanced**",
    "balanced, judge at medium risk": "balanced, `judge.medium: instead`",
    "balanced, task not vouched for": "without a vouched task",
    "balanced, origins not traced": "without origins",
    "balanced, sinks not told": "without what goes into sinks",
    "balanced, labels not complete": "without complete labels",
    "balanced, own not traced": "without own results",
    "balanced, every origin believed": "every origin believed",
}
_SHARES = ("benign_person", "benign_person_of_all", "attacks_judge_5", "attacks_lying_judge")


def cost(report: Mapping[str, Any]) -> str:
    """What README says of that run."""
    [warm] = (figure for figure in report["figures"] if figure["name"] == "warm-cpu")
    return (
        f"- **A decision costs** {warm['median']:.1f} times ({warm['low']:.1f} to {warm['high']:.1f}) the "
        "processor time of a bare gRPC echo,\n"
        f"  warm, at commit {report['machine']['commit']}. `pdp bench` measures it, [docs/bench.md](docs/bench.md) "
        "has every figure beside its aim."
    )


def exposure(report: Mapping[str, Any]) -> str:
    """Whole sessions: the figures by policy and facts, who is still asked, and attackers who adapt."""
    variants, tuned = report["variants"], report["tuned_on"]
    balanced = variants["balanced"]
    heads = (
        "policy and facts",
        "benign calls that ask a person",
        "of all benign calls",
        "attacks, 5 % judge",
        "attacks, lying judge",
        "saved by it",
    )
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|---|---|---|"]
    for name, shown in _POLICIES.items():
        rows = [(shown, variants[name]["all"])]
        rows += [(f"balanced, without the suite {tuned}", balanced["others"])] if name == "balanced" else []
        for label, figure in rows:
            rests = shown.startswith("without")
            saved = figure["benign_person"] - balanced["all"]["benign_person"] if rests else None
            cells = [f"{100 * figure[share]:.1f} %" for share in _SHARES]
            lines.append(f"| {' | '.join((label, *cells, '' if saved is None else f'{100 * saved:.1f} points'))} |")
    suites = list(balanced["suites"])
    lines += [
        "",
        f"| benign calls that ask a person in balanced | all | {' | '.join(suites)} |",
        "|---|---|" + "---|" * len(suites),
    ]
    for cause, of in balanced["causes"].items():
        lines.append(
            f"| {' | '.join(map(str, (cause, sum(of.values()), *(of.get(suite, 0) for suite in suites))))} |"
        )
    shares = (f"{100 * balanced['suites'][suite]['benign_person']:.1f} %" for suite in suites)
    lines += [f"| share of the suite | | {' | '.join(shares)} |", "", *_tasks(variants), ""]
    lines += [
        "| attacker | strict, 5 % judge | strict, lying judge | balanced, 5 % judge | balanced, lying judge |",
        "|---|---|---|---|---|",
    ]
    for name, profiles in report["attackers"].items():
        cells = [
            f"{100 * profiles[profile][share]:.1f} %" for profile in ("strict", "balanced") for share in _SHARES[2:]
        ]
        lines.append(f"| {' | '.join((name, *cells))} |")
    lines += [
        "",
        f"With the answers in hand, for each combination of these facts, {100 * balanced['floor']:.1f} % at least.",
    ]
    return "\n".join(lines)


_TASKS = {
    "strict": "as shipped: strict",
    "balanced": "balanced",
    "balanced, task not vouched for": "balanced, no task",
    "balanced, results unseen": "balanced, results unseen",
    "mandate, destructive asks": "mandates, `destructive: ask`",
    "mandate, destructive stated": "mandates, `destructive: stated`",
    "mandate, destructive stated, perfect plans": "the same with perfect plans",
    "mandate, results unseen": "mandates, `destructive: stated`, results unseen",
}


def _tasks(variants: Mapping[str, Any]) -> Iterator[str]:
    """Whole tasks: their questions, by policy and facts, then by suite."""
    heads = (
        "questions a task",
        "done without one",
        "with one at most",
        "without one, by a judge",
        "attacks, lying judge",
    )
    yield f"| policy and facts | {' | '.join(heads)} |"
    yield "|---|---|---|---|---|---|"
    for name, shown in _TASKS.items():
        found, through = variants[name]["tasks"]["all"], variants[name]["all"]["attacks_lying_judge"]
        shares = " | ".join(_interval(found[each], 100, " %", 0) for each in ("done_0", "done_1", "judged"))
        yield f"| {shown} | {_interval(found['questions'], 1, '', 2)} | {shares} | {100 * through:.1f} % |"
    suites = list(variants["balanced"]["tasks"]["suites"])
    yield ""
    yield f"| questions a task | {' | '.join(suites)} |"
    yield "|---|" + "---|" * len(suites)
    for name, shown in _TASKS.items():
        each = variants[name]["tasks"]["suites"]
        yield f"| {shown} | {' | '.join(_interval(each[suite]['questions'], 1, '', 2) for suite in suites)} |"


def _interval(figure: Mapping[str, float], times: int, unit: str, digits: int) -> str:
    mean, low, high = (f"{times * figure[name]:.{digits}f}" for name in ("mean", "low", "high"))
    return f"{mean}{unit} ({low} to {high})"


def _run(report: Mapping[str, Any]) -> str:
    machine, load, pace = report["machine"], report["load_average"], report["pace"]
    busy = load["start"] > machine["cores"]
    return (
        f"At commit {machine['commit']}: {machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, "
        f"{machine['python']}.\n{pace['rounds']} rounds of {pace['seconds']:g} s; the load average was "
        f"{load['start']:g} when it began and {load['end']:g} when it ended."
        f"{' **The machine was busy with other work: read the orders of size only.**' if busy else ''}"
    )


def _mark(goal: Mapping[str, Any], mark: str) -> str:
    return f"{'≤' if goal['at_most'] else '≥'} {goal[mark]:g}"


def page(name: str, table: str) -> str:
    """The text of a page with its marked table regenerated. Raises ValueError when a mark is missing."""
    begin, end = f"<!-- {name}: made by docs/generate.py -->\n", f"<!-- end of {name} -->"
    before, opened, rest = PAGES[name].read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise ValueError(f"{PAGES[name].name}: the marks of '{name}' are missing; put them back")
    return f"{before}{begin}\n{table}\n\n{end}{after}"


def _leaves(
    node: Mapping[str, Any], path: str, told: Mapping[str, str]
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, str]]]:
    told = {**told, **{key: value for key, value in node.items() if key.startswith("x-pdp-")}}
    items, properties = node.get("items"), node.get("properties")
    if isinstance(items, dict):
        yield from _leaves(items, f"{path}[_]", told)
    elif properties:
        for name, inner in properties.items():
            yield from _leaves(inner, f"{path}.{name}", told)
    else:
        yield path, node, told


def _type(node: Mapping[str, Any]) -> str:
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
    return " or ".join("any object" if kind == "object" else str(kind) for kind in kinds)


def drafts() -> str:
    """How drafts of reviews compare with reviews by hand, and whom the policy asks with either."""
    measured = json.loads((DRAFTS / "figures.json").read_text())
    heads = ("of", "field", "equal", "worse (safe)", "milder (unsafe)", "milder once accepted")
    lines = [f"| {' | '.join(heads)} |", "|---|---|---:|---:|---:|---:|"]
    for source, of in measured["compared"].items():
        for field, counts in of["alone"].items():
            if total := sum(counts.get(how, 0) for how in _COMPARED):
                shares = [f"{counts.get(how, 0) / total:.1%}" for how in _COMPARED]
                accepted = of["accepted"][field].get("milder", 0) / total
                lines.append(f"| {of['tools']} tools of {source} | {field} | {' | '.join(shares)} | {accepted:.1%} |")
    named = ", ".join(f"`{tool}` ({field})" for mode, tool, field, _ in measured["milder"] if mode == "alone")
    lines += ["", f"Milder as pinned unseen: {named or 'none'}.", ""]
    lines += ["| reviews | strict | balanced | attacks through, balanced, lying judge |", "|---|---:|---:|---:|"]
    for how, profiles in json.loads((DRAFTS / "exposure.json").read_text()).items():
        asked = [f"{profiles[name]['benign_person_of_all']:.1%}" for name in ("strict", "balanced")]
        lines.append(f"| {how} | {' | '.join(asked)} | {profiles['balanced']['attacks_lying_judge']:.1%} |")
    return "\n".join(lines)


def main() -> int:
    """Write the tables of facts and of the baseline from rego/, the tables of guards, the table of controls and the
    picture of a request's states from the core, the figures from docs/bench.json and of sessions, the example
    of the configuration and what its keys mean; with --check, report stale ones."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when something is stale")
    checking: bool = parser.parse_args().check
    report = json.loads(BENCH.read_text())
    tables = {
        "facts": facts(),
        "baseline": rules(),
        "controls": controls(),
        "checklist": checklist(),
        "guards": guards(),
        "guard-figures": guard_figures(),
        "bench": bench(report),
        "cost": cost(report),
        "exposure": exposure(json.loads(SESSIONS.read_text())),
        "drafts": drafts(),
    }
    fresh = {PAGES[name]: page(name, table) for name, table in tables.items()}
    fresh |= {PICTURE: picture(), GUARDS: guards_rego()}
    fresh |= {EXAMPLE: config_reference.example(Settings), DESCRIPTIONS: config_reference.descriptions(Settings)}
    fresh |= {path: with_kinds(path, indent) for path, indent in ((INPUT, 2), (RECORD, 1))}
    stale = {path: new for path, new in fresh.items() if not path.exists() or path.read_text() != new}
    for path, new in stale.items():
        if checking:
            sys.stderr.write(f"{path.relative_to(ROOT)} is stale; run `python docs/generate.py`\n")
        else:
            path.write_text(new)
    return int(checking and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
