"""Which elements a document brings about, and where they stand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from pdp.core.errors import EngineFault
from pdp.core.policy import Bundle, Module
from pdp.policy import gate
from pdp.policy.gate import process

PACK = """
package packs.acme

meta := {"servers": ["git"], "owner": "acme"}

allow contains {"target": t.key, "code": "acme.all"} if some t in input.targets

deny contains {"code": "acme.no", "message": "No."} if input.subject.id == "mallory"

deny contains {"code": "acme.never", "message": "Never."} if input.subject.id == "nobody"

oblige contains {"kind": "log", "code": "acme.log"} if input.subject.id != ""

hide contains {"target": "tool:other", "code": "acme.other"} if input.subject.id != ""
"""


def document(who: str = "mallory", server: str = "git", **checks: str) -> bytes:
    ok = {"status": "ok", "code": ""}
    target = {"status": "ok", "code": "", "key": "tool:t", "kind": "tool", "name": "t", "server": server}
    named = {name: {"status": "failed", "code": code} for name, code in checks.items()}
    return json.dumps(
        {
            "subject": {"id": who},
            "server": {"id": server},
            "targets": [{**target, "status": "failed", "code": checks["target"]} if "target" in checks else target],
            "checks": {"subject": ok, **{k: v for k, v in named.items() if k == "subject"}},
            "call_checks": {"arguments": named.get("arguments", ok)},
        }
    ).encode()


@pytest.fixture(scope="module")
def bundle(shipped: Bundle) -> Bundle:
    ours = tuple(m for m in shipped.modules if not m.path.startswith("baseline/"))
    pack = Module("packs/acme/acme.rego", PACK)
    return replace(shipped, modules=(*ours, pack), packs=("acme",))


def places(bundle: Bundle, asked: bytes, *codes: str) -> dict[tuple[str, str, str], str]:
    """The line that each fired element is said to stand in."""
    texts = {m.path: m.text.splitlines() for m in bundle.modules}
    return {
        (f.pack, f.rule, f.code): texts[f.file][f.line - 1] if f.file else ""
        for f in gate.fired(bundle, asked, codes)
    }


def test_what_fires_is_named_with_its_line(bundle: Bundle) -> None:
    found = places(bundle, document())
    assert set(found) == {
        ("acme", "allow", "acme.all"),
        ("acme", "deny", "acme.no"),
        ("acme", "oblige", "acme.log"),
    }  # what hides another tool says nothing of this one
    for (_, rule, code), line in found.items():
        assert line.startswith(f"{rule} contains")
        assert f'"{code}"' in line


def test_what_does_not_fire_is_not_named(bundle: Bundle) -> None:
    assert ("acme", "deny", "acme.no") not in places(bundle, document("alice"))


def test_a_grant_for_other_servers_is_none(bundle: Bundle) -> None:
    assert ("acme", "allow", "acme.all") not in places(bundle, document(server="elsewhere"))


@pytest.mark.parametrize(
    ("checks", "code", "says"),
    [
        ({"subject": "subject.expired"}, "subject.expired", "gate_reasons"),
        ({"arguments": "arguments.schema"}, "arguments.schema", "deny_reasons"),
        ({"target": "tool.drifted"}, "tool.drifted", "objections"),
        ({}, "policy.not_granted", "objections"),
        ({}, "policy.undecided", "reasons"),
    ],
)
def test_a_check_of_the_gate_is_placed(bundle: Bundle, checks: Any, code: str, says: str) -> None:
    assert says in places(bundle, document(**checks), code)["", "gate", code]


def test_a_code_that_nobody_knows_has_no_place(bundle: Bundle) -> None:
    (found,) = [f for f in gate.fired(bundle, document(), ("made.up",)) if f.rule == "gate"]
    assert (found.file, found.line) == ("", 0)


def test_a_rule_that_fails_is_left_out(bundle: Bundle) -> None:
    broken = PACK + ('\nrequire contains {"code": "x", "id": 1 / (count(input.targets) - 1)}\n')
    modules = (*bundle.modules[:-1], Module("packs/acme/acme.rego", broken))
    assert ("acme", "deny", "acme.no") in places(replace(bundle, modules=modules), document())


def test_a_policy_that_takes_too_long_is_given_up(bundle: Bundle) -> None:
    with pytest.raises(EngineFault) as given_up:
        process.fired(bundle, document(), (), time_limit=0.001)
    assert given_up.value.code == "policy.untraced"
