"""The elements in an engine's answer, as explanations show them."""

from __future__ import annotations

import json
from typing import Any

from support.for_each import for_each

from pdp.core.outcome.elements import KINDS, SEPARATOR, SaidElement, elements_of

KEYS = {"tool:t"}
ALLOW = {"target": "tool:t", "code": "a.t"}
DENY = {"code": "a.no", "message": "No."}


def pack(*servers: str, **said: Any) -> dict[str, Any]:
    return {"meta": {"servers": list(servers), "owner": "o"}, **{kind: [] for kind in KINDS["call"]}, **said}


def answer(*evaluations: Any) -> bytes:
    return SEPARATOR.join(json.dumps(part).encode() for part in ({"effect": "deny"}, *evaluations))


def elements(*evaluations: Any) -> list[tuple[str, str, str, str]]:
    found = elements_of(answer(*evaluations), "git", KEYS)
    return [(each.pack, each.kind, each.code, each.asserted) for each in found]


def test_elements_are_named_by_pack_and_kind_with_their_fields() -> None:
    one = pack("git", allow=[ALLOW], deny=[DENY])
    assert elements_of(answer({"b": pack(deny=[DENY]), "a": one}), "git", KEYS) == (
        SaidElement("a", "allow", ALLOW),
        SaidElement("a", "deny", DENY),
        SaidElement("b", "deny", DENY),
    )


def test_what_depends_on_asserted_facts_says_so() -> None:
    without = {"a": pack("git", deny=[DENY], require=[{"code": "a.both"}, {"code": "a.n", "stage": 1}])}
    told = {"a": pack("git", hide=[ALLOW], require=[{"code": "a.both"}, {"code": "a.n", "stage": True}])}
    assert elements(without, told) == [
        ("a", "hide", "a.t", "with"),
        ("a", "deny", "a.no", "without"),
        ("a", "require", "a.both", ""),
        ("a", "require", "a.n", "without"),
        ("a", "require", "a.n", "with"),
    ]


def test_without_anything_asserted_nothing_is_marked() -> None:
    assert elements({"a": pack("git", deny=[DENY])}) == [("a", "deny", "a.no", "")]


@for_each("servers", [("mail",), (), ("git.",)])
def test_a_grant_for_other_servers_is_none(servers: tuple[str, ...]) -> None:
    assert elements({"a": pack(*servers, allow=[ALLOW], deny=[DENY])}) == [("a", "deny", "a.no", "")]


@for_each(
    ("meta", "counts"),
    [({}, False), ({"kinds": ["tool"]}, False), ({"kinds": ["tool", "prompt"]}, True), ({"kinds": "prompt"}, False)],
)
def test_a_grant_for_other_kinds_is_none(meta: dict[str, Any], counts: bool) -> None:
    said = pack("git", allow=[{"target": "prompt:p", "code": "a.p"}])
    said["meta"] |= meta
    found = elements_of(answer({"a": said}), "git", {"prompt:p"})
    assert [each.code for each in found] == ["a.p"] * counts


def test_what_grants_or_hides_other_targets_is_left_out() -> None:
    other = {"target": "tool:other", "code": "a.o"}
    assert elements({"a": pack("git", allow=[other], hide=[other])}) == []


@for_each("broken", [7, "git", None, [], {"meta": "git", "allow": [ALLOW]}, {"deny": {"x": DENY}}])
def test_a_broken_pack_hides_no_other(broken: Any) -> None:
    assert elements({"a": broken, "b": pack(deny=[7, None, "x", DENY])}) == [("b", "deny", "a.no", "")]


@for_each("target", [7, None, ["tool:t"], {}])
def test_a_target_that_is_no_text_is_shown(target: Any) -> None:
    assert elements({"a": pack("git", hide=[{"target": target, "code": "a.h"}])}) == [("a", "hide", "a.h", "")]


@for_each("code", [{}, {"code": 7}, {"code": None}])
def test_an_element_without_a_code_has_none(code: Any) -> None:
    assert elements({"a": pack(deny=[{"message": "No.", **code}])}) == [("a", "deny", "", "")]


@for_each("value", ["2e400", "9223372036854775808", '"\\ud800"', "NaN"])
def test_what_no_record_could_hold_is_left_out(value: str) -> None:
    said = answer({"a": pack(deny=[DENY, {**DENY, "x": "@"}])}).replace(b'"@"', value.encode())
    assert elements_of(said, "git", KEYS) == (SaidElement("a", "deny", {}), SaidElement("a", "deny", DENY))


@for_each("said", [b"", b"{}", b"{}\0", b"{}\0{", b"{}\0[]", b"{}\0" + b"[" * 100_000])
def test_what_is_no_answer_says_nothing(said: bytes) -> None:
    assert elements_of(said, "git", KEYS) == ()
