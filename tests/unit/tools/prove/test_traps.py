"""What would make a proof false: each was one, or nearly, of a simpler prover."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("z3")  # the extra `prove`

from support.for_each import for_each
from support.proving import deny, pack

from pdp.core.outcome.policy import Bundle, Module
from pdp.tools.prove.proof import NOT_PROVED, PROVED, WIDENS, prove

CASES = yaml.safe_load(Path(__file__).with_name("traps.yaml").read_text())


@for_each("case", CASES, ids=lambda case: str(case["name"]))
def test_trap(case: dict[str, Any]) -> None:
    proof = prove(pack(case["old"]), pack(case["new"]))
    found = [each.code for each in proof.widenings] + [f"{gap.place} {gap.why}" for gap in proof.gaps]
    assert proof.verdict == case["verdict"], (found, proof.sizes)
    assert any(case["told"] in each for each in found) if "told" in case else not found, found


def test_what_is_not_translated_rests_on_data() -> None:
    """The same words, and what they read is another now."""
    rules = deny("time.clock(input.time.ns)[0] < data.org.delegation.max_actors")
    unread = prove(pack(rules), pack(rules, org=lambda org: org["judge"].update(medium="instead")))
    assert unread.verdict == PROVED
    read = prove(pack(rules), pack(rules, org=lambda org: org["delegation"].update(max_actors=9)))
    assert [gap.why for gap in read.gaps] == ["not translated: the builtin time.clock"] * 2


def test_a_playbook_that_is_another_now_is_not_proved() -> None:
    def playing(text: str) -> Bundle:
        return replace(pack(""), playbooks=(Module("packs/mini/playbooks/pay.yaml", text),))

    proof = prove(playing("minutes: 5"), playing("minutes: 6"))
    assert (proof.verdict, [gap.place for gap in proof.gaps]) == (NOT_PROVED, ["packs/mini/playbooks/pay.yaml"])
    assert prove(pack(""), playing("minutes: 5")).verdict == NOT_PROVED


def test_a_waiver_that_comes_to_soften_what_serves_several_controls() -> None:
    rule = (
        '\ndeny contains {"code": "b.known", "message": "no", "control": ["MB-3.2", "MCP03"]%s} if '
        "not input.session.known\n"
    )
    proof = prove(pack("", baseline=rule % ""), pack("", baseline=rule % ', "waivable": true'))
    assert proof.verdict == WIDENS
    assert [each.shown.waived for each in proof.widenings if each.shown] == [("b.known",)]


def test_personal_data_that_the_service_no_longer_looks_for() -> None:
    def protecting(*countries: str) -> Bundle:
        return pack("", org=lambda org: org["personal_data"].update(protected=True, countries=[*countries]))

    def lost(old: Bundle, new: Bundle) -> list[tuple[str, Any, Any]]:
        return [
            (each.kind, each.change.path, each.change.before) for each in prove(old, new).widenings if each.change
        ]

    place = "data.org.personal_data"
    assert lost(protecting("DE", "FR"), protecting("DE")) == [("personal_data", f"{place}.countries[_]", "FR")]
    assert lost(protecting("DE"), pack("")) == [("personal_data", f"{place}.protected", True)]
    assert prove(protecting("DE"), protecting("DE", "FR")).verdict == PROVED
    assert prove(pack(""), protecting()).verdict == PROVED
