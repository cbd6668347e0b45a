"""Every builtin that policy may call, on both engines, with made-up arguments: no silent difference.

The two may differ only where one of them raises an error (which denies), and for those rows of the table that are
harmless or that the gate refuses. An engine that says "undefined" where the other has a value or an error makes a
rule vanish, and that is never allowed.
"""

from __future__ import annotations

import json
import os
import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import arguments
import engines
import gating
import pytest
import regorus
from support.for_each import for_each

from pdp.policy.bundle import shipped_rego
from pdp.policy.embedded.regorus_binding import _LATER
from pdp.policy.gate.builtins import Builtins

CAPABILITIES = shipped_rego() / "capabilities.json"
DECLARED: dict[str, list[Mapping[str, Any]]] = {
    b["name"]: b["decl"].get("args", [])
    for b in json.loads(CAPABILITIES.read_bytes())["builtins"]
    if b["name"] in Builtins.read(CAPABILITIES).declarations
}
CALLS = 150
# not a function of its arguments, or tested elsewhere
APART = {"walk", "assign", "sprintf", "json.remove", "print"}
# by their rows in differences.yaml: one engine raises an error there
LOUD = {"time.parse_rfc3339_ns", "to_number", "glob.match", "semver.compare"} | {"json.unmarshal"}
PACK = """package packs.acme

meta := {"servers": ["git"], "owner": "acme"}

deny contains {"code": "acme.x", "message": "No."} if {
	%s
}
"""
FRACTIONS = {"sum", "product"}  # harmless, by their row


def module(name: str, shapes: tuple[str, ...]) -> str:
    handed = [f"input.a[{i}]" if s == "is" else f"{{y | some y in input.a[{i}]}}" for i, s in enumerate(shapes)]
    return f"package test\n\np := x if x := {name}({', '.join(handed)})\n"


@for_each("name", sorted(set(DECLARED) - APART))
def test_no_silent_difference(opa: engines.Opa, name: str) -> None:
    compare(opa, name)


def compare(opa: engines.Opa, name: str) -> None:
    maker = arguments.Maker(name)
    cases: dict[tuple[str, ...], list[list[Any]]] = defaultdict(list)
    for _ in range(CALLS):
        shapes, made = maker.call(DECLARED[name])
        cases[shapes].append(made)
    valued = 0
    for shapes, calls in cases.items():
        text = module(name, shapes)
        assert opa.load([text], {}), text
        try:
            for made in calls:
                theirs, ours = opa.evaluate({"a": made}), engines.embedded([text], {"a": made})
                valued += "value" in (theirs[0], ours[0])
                assert _agree(name, made, theirs, ours), (made, theirs, ours)
        finally:
            opa.clear()
    assert valued, "nothing was compared"


def _agree(name: str, made: list[Any], theirs: engines.Said, ours: engines.Said) -> bool:
    if engines.same(theirs, ours):
        return True
    if name == "count" and isinstance(made[0], str):
        return max(made[0]) > "\uffff"  # refused by builtin.count
    if name in FRACTIONS and theirs[0] == ours[0] == "value":
        return any(isinstance(n, float) for n in made[0]) or abs(theirs[1]) >= 2**63
    return name in LOUD and engines.LOUD in (theirs, ours) and engines.UNDEFINED not in (theirs, ours)


def test_every_loud_builtin_has_its_row() -> None:
    from test_conformance import TABLE  # noqa: PLC0415 - beside this file

    told = " ".join(row["says"] for row in TABLE if row["gate"] == "loud")
    assert all(name in told for name in LOUD)


def test_every_letter_has_the_same_case(opa: engines.Opa) -> None:
    letters = [chr(n) for n in range(0x110000) if not 0xD800 <= n <= 0xDFFF]
    cased = [c for c in letters if len({c, c.lower(), c.upper(), c.title()}) > 1 and not _LATER.match(c)]
    text = "package test\n\np := [[lower(c), upper(c)] | some c in input.a]\n"
    assert len(cased) > 2000
    assert engines.same(opa.ask([text], {"a": cased}), engines.embedded([text], {"a": cased}))


@for_each("zone", arguments.ZONES[:5])
def test_clocks_agree_for_twenty_years(opa: engines.Opa, zone: str) -> None:
    hours = [(1_735_689_600 + n * 6_480_017 // 60) * 10**9 for n in range(6000)]
    text = (
        "package test\n\np := [[time.clock([t, input.z]), time.date([t, input.z]), time.weekday([t, input.z])] |"
        " some t in input.a]\n"
    )
    document = {"a": hours, "z": zone}
    assert engines.same(opa.ask([text], document), engines.embedded([text], document))


def test_text_is_counted_alike_when_it_is_split(opa: engines.Opa) -> None:
    text = 'package test\n\np := [count(split(s, "")) | some s in input.a]\n'
    said = opa.ask([text], {"a": arguments.TEXTS})
    assert engines.same(said, engines.embedded([text], {"a": arguments.TEXTS}))
    assert said == ("value", [len(s) for s in arguments.TEXTS])


@for_each("pattern", arguments.PATTERNS)
def test_a_pattern_that_the_gate_takes_reads_alike(opa: engines.Opa, pattern: str) -> None:
    text = f"package test\n\np := [s | some s in input.a; regex.match(`{pattern}`, s)]\n"
    assert engines.same(opa.ask([text], {"a": arguments.TEXTS}), engines.embedded([text], {"a": arguments.TEXTS}))


MADE_UP = int(os.environ.get("PATTERNS", "150"))


@for_each(
    ("parts", "call"),
    [(arguments.GLOB_PARTS, 'glob.match("%s", %s, s)'), (arguments.PATTERN_PARTS, 'regex.match("%s", s)')],
)
def test_a_made_up_pattern_that_the_gate_takes_reads_alike(opa: engines.Opa, parts: list[str], call: str) -> None:
    drawn, taken = random.Random(call), 0
    for _ in range(MADE_UP):
        pattern = "".join(drawn.choice(parts) for _ in range(drawn.randrange(6)))
        delimiters = json.dumps(drawn.choice(arguments.DELIMITERS))
        text = call % ((pattern, delimiters) if call.count("%s") == 2 else pattern)
        body = f"some s in [input.server.id]; {text}"
        if gating.codes({"packs/acme/acme.rego": PACK % body}):
            continue
        taken += 1
        asked = f"package test\n\np := [s | some s in input.t; {text}]\n"
        document = {"t": arguments.MATCHED}
        assert engines.same(opa.ask([asked], document), engines.embedded([asked], document)), asked
    assert taken > MADE_UP / 8


def test_the_comparison_finds_what_differs(opa: engines.Opa, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without our extensions it must fail, or it would show nothing."""
    monkeypatch.setattr(engines, "new_engine", regorus.Engine)
    for name in ("lower", "net.cidr_contains"):
        with pytest.raises(AssertionError):
            compare(opa, name)
