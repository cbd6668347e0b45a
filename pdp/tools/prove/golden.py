"""The golden test of a widening: its counterexample as a test of a pack, which OLD passes and NEW does not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from pdp.core.bytes.digest import Json, canonical, sha256_hex
from pdp.core.outcome.elements import SaidElement
from pdp.tools.prove.proof import Counterexample, Proof, Widening
from pdp.tools.prove.questions import PERMITTED, RESULT

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")
_VETOES = ("deny", "hide")
_UNNAMED = ("message",)  # may be said in other words


def golden(proof: Proof, pack: str) -> tuple[str, int]:
    """The text of a file of tests in the folder of a pack, and how many widenings no test can hold: those of data
    that the service reads, and what rests on a pack's `meta`."""
    tests = [test for test in map(_test, proof.widenings) if test]
    head = f"package {pack}_test\n\nimport data.lib.testing\n" if any("testing." in test for test in tests) else ""
    head = head or f"package {pack}_test\n"
    return "\n".join([head, *dict.fromkeys(tests)]), len(proof.widenings) - len(tests)


def _test(widening: Widening) -> str:
    shown = widening.shown
    if shown is None:
        return ""
    body = list(_lost(widening.kind, shown)) or list(_gained(shown))
    if not body:
        return ""
    document = json.dumps(shown.document, indent="\t", sort_keys=True)
    name = f"golden_{sha256_hex(canonical([widening.kind, widening.code, shown.document]))[:12]}"
    held = "\n".join(f"\t{line} with input as {name}" for line in body)
    title = f"# {widening.kind} {json.dumps(widening.code)}: a call that a change of policy would have let through"
    return f"{title}\ntest_{name} if {{\n{held}\n}}\n\n{name} := {document}\n"


def _lost(kind: str, shown: Counterexample) -> Iterator[str]:
    """The elements that OLD said of the call, and NEW does not."""
    kinds = _VETOES if kind in {PERMITTED, RESULT} else (_KINDS[kind],)
    after = [(each.pack, each.kind, each.fields) for each in _sure(shown.after.elements)]
    for each in _sure(shown.before.elements):
        if each.kind in kinds and (each.pack, each.kind, each.fields) not in after:
            fields = {name: value for name, value in each.fields.items() if name not in _UNNAMED}
            rules = f"data.packs.{each.pack}.{each.kind}"
            yield f"{_text(fields)} in {{object.remove(e, {_text(list(_UNNAMED))}) | some e in {rules}}}"


def _gained(shown: Counterexample) -> Iterator[str]:
    """The grants that NEW says of the call, and OLD did not."""
    before = [(each.pack, each.fields) for each in _sure(shown.before.elements) if each.kind == "allow"]
    for each in _sure(shown.after.elements):
        if each.kind == "allow" and (each.pack, each.fields) not in before:
            yield f"not {_text(each.fields['code'])} in testing.codes(data.packs.{each.pack}.allow)"


def _sure(elements: tuple[SaidElement, ...]) -> Iterator[SaidElement]:
    """Those that do not turn on what callers assert, of packs that Rego has a plain name for."""
    return (each for each in elements if not each.asserted and _IDENTIFIER.fullmatch(each.pack))


def _text(value: Json) -> str:
    return json.dumps(value, sort_keys=True)


_KINDS = {"requirement": "require", "obligation": "oblige", "label": "label"}
