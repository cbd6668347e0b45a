"""Small packs, each with one construct of the language around one value: every builtin and operator that policy may
use, in each place where an argument can stand, reached and guarded in every way. For `test_types.py`."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pdp.policy.bundle import shipped_rego

ABSENT = object()
VALUES: tuple[Any, ...] = (
    *(ABSENT, None, True, False, 0, 1, -1, 2.5, 1000),
    *("", "k", "abc", "a/b", "1", "é", "10.0.0.1", "MQ==", "2024-01-02T03:04:05Z"),
    *([], ["k"], ["k", "v"], [1, 2], [None], [["k"]], [{"k": "v"}], [1, "k"]),
    *({}, {"k": "v"}, {"0": "k"}, {"k": {"k": "v"}}, {"k": ["k"]}, {"k": "v", "more": 1}),
)
_SYNTAX = (
    *('some x in ["k", 1]; x == {a}; {a} != 5', "[x | some x in [true]; is_boolean({a}); x == {a}]"),
    *("{a}", "not {a}", "v := {a}", "[v] := {a}", "[v, _] = {a}", '{{"k": v}} := {a}', '{{"k": v, "z": _}} = {a}'),
    *(
        "v := {a}[_]",
        "v := {a}[0]",
        "v := {a}.k",
        'v := {a}["k"]',
        "v := {a}.k.k",
        "some i; v := {a}[i]",
        "{a}[_] = v",
    ),
    *("some v in {a}", "some k, v in {a}", 'some "k" in {a}', 'some "k", v in {a}', "some v, _ in {a}"),
    *("some [v] in {a}", 'some {{"k": v}} in {a}', "some x in {a}; some v in x", "some x in {a}.k; v := x"),
    *("every x in {a} {{ x }}", 'every x in {a} {{ x == "k" }}', "every k, x in {a} {{ k != x }}"),
    *('"k" in {a}', '"k", "v" in {a}', '"v" in {a}.k', '{a} in ["k"]', '{a} in {{"k"}}', '{a} in {{"x": "k"}}'),
    *('{a}, "v" in {{"k": "v"}}', '{a}, "k" in ["k"]', '0, {a} in ["k"]', '"k", {a} in {{"k": "v"}}'),
    *('"k", {a} in {{"k"}}', '{a}, "k" in {{"k"}}', '"k", "k" in {{{a}}}'),
    *('{a} == "k"', "{a} == 1", "{a} == []", '{a} == ["k"]', '{a} == {{"k"}}', "{a} == {{}}", "{a} == null"),
    *('{a} != "k"', "{a} != null", "{a} != {a}", "{a} == {a}.k", "{a} < 5", "{a} <= 0", '{a} > "b"', "5 >= {a}"),
    *("{a} < {a}", "v := -{a}", "v := {a} + 1", "v := 1 + {a}", "v := {a} - 1", "v := 1 - {a}", "v := {a} * 2"),
    *("v := 2 * {a}", "v := {a} / 2", "v := 6 / {a}", "v := {a} % 2", "v := 5 % {a}", "v := {a} - {a}"),
    *('v := {a} & {{"k"}}', 'v := {{"k"}} & {a}', 'v := {a} | {{"k"}}', 'v := {{"k"}} | {a}'),
    *(
        'v := {a} - {{"k"}}',
        'v := {{"k"}} - {a}',
        "v := {{{a}}}",
        "v := [{a}]",
        'v := {{"z": {a}}}',
        "v := {{{a}: 1}}",
    ),
    *("v := [x | some x in {a}]", "v := {{x | some x in {a}}}", "v := {{k: x | some k, x in {a}}}"),
    *("v := [x | x := {a}[_]]", "v := {{x | x = {a}[_]}}", "v := count([x | some x in {a}; x])"),
    *('v := {{"k": "t"}}[{a}]', 'v := ["p", "q"][{a}]', 'v := {{"k", "z"}}[{a}]', "v := input.arguments.value[{a}]"),
    *("walk({a}, [_, v])", 'walk({a}, [["k"], v])', "some p, v; walk({a}, [p, v])", "walk({a}, [_, _])"),
    *('v := sprintf("%v", [{a}])', 'v := sprintf("%s %d", [{a}, {a}])'),
    *('v := object.get({a}, ["k"], 1)', "v := object.get({a}, [], 1)", 'v := object.get({{"k": 1}}, [{a}], 0)'),
    *("v := max([{a}, 1])", "v := min([{a}, 1])", "v := sort([{a}])", "v := sort({{{a}, 1}})", "v := sum([{a}])"),
    *("v := product([{a}])", 'v := concat(",", [{a}])', 'v := concat(",", {{{a}}})', "v := array.concat([1], [{a}])"),
    *("v := union({{{a}}})", "v := intersection({{{a}}})", "v := object.union_n([{a}])"),
    *('v := strings.any_prefix_match([{a}], ["k"])', 'v := strings.any_suffix_match("k", [{a}])'),
    *('v := strings.any_prefix_match({{{a}}}, "k")', 'v := strings.any_suffix_match(["k"], {{{a}}})'),
    *('v := graph.reachable({{"k": {a}}}, ["k"])', 'v := graph.reachable({{"k": [{a}]}}, {{{a}}})'),
    *('v := time.clock([{a}, "UTC"])', "v := time.date([0, {a}])", 'v := time.weekday([{a}, "UTC"])'),
    *('v := object.remove({{"k": 1}}, [{a}])', 'v := object.filter({{"k": 1}}, {{{a}}})', "v := count({a}.k)"),
    *('glob.match("k*", [], {a}.k)', 'startswith({a}.k, "v")', 'some x in {a}; startswith(x, "k")'),
    *('some x in {a}; x.k == "v"', "some x in {a}; is_string(x); v := x", "v := trim({a}, {a})", "v := {a}; v"),
)
# arguments with which a call has a value, where `_FILLERS` by type are not the thing
_SPECIAL = {
    "regex.match": ('"^k"', '"k"'),
    "glob.match": ('"k*"', "[]", '"k"'),
    "base64.decode": ('"MQ=="',),
    "hex.decode": ('"31"',),
    "json.unmarshal": ('"1"',),
    "json.remove": ('{"k": 1}', '["k"]'),
    "net.cidr_contains": ('"10.0.0.0/8"', '"10.0.0.1"'),
    "semver.compare": ('"1.0.0"', '"1.0.1"'),
    "time.parse_rfc3339_ns": ('"2024-01-02T03:04:05Z"',),
    "to_number": ('"1"',),
    "graph.reachable": ('{"k": ["k"]}', '["k"]'),
    "union": ('{{"k"}}',),
    "intersection": ('{{"k"}}',),
    "object.union_n": ('[{"k": 1}]',),
    "sprintf": ('"%v"', '["k"]'),
    "substring": ('"kk"', "0", "1"),
    "array.concat": ('["k"]', '["v"]'),
    "sum": ("[1]",),
    "product": ("[1]",),
}
_FILLERS = {"string": '"k"', "number": "1", "any": '"k"', "array": '["k"]', "object": '{"k": 1}', "set": '{"k"}'}
_APART = {"walk", "print"}  # above; not for policy
GUARDS = (
    *("", "is_string({a})", "is_number({a})", "is_array({a})", "is_object({a})", "is_boolean({a})", "is_null({a})"),
    *("is_set({a})", 'regex.match("^[a-z0-9]*$", {a})', "{a}", "{a} != null", 'type_name({a}) == "string"'),
    *("after is_string({a})", "after is_array({a})", "after is_number({a})", "not is_null({a})"),
)
_META = 'package packs.acme\n\nmeta := {"servers": ["git"], "owner": "acme"}\n\n'
_X = "input.arguments.value.x"


def _called() -> Iterator[str]:
    """Each builtin with the value in each of its places."""
    for declared in json.loads((shipped_rego() / "capabilities.json").read_bytes())["builtins"]:
        name, kinds = declared["name"], declared["decl"].get("args", [])
        if "infix" in declared or name.startswith("internal.") or name in _APART:
            continue
        given = _SPECIAL.get(name) or tuple(_FILLERS[_kind(k)] for k in kinds)
        for place in range(len(given)):
            arguments = [text.replace("{", "{{").replace("}", "}}") for text in given]
            arguments[place] = "{a}"
            yield f"v := {name}({', '.join(arguments)})"


def _kind(declared: Any) -> str:
    kind = str(declared.get("type"))
    return _kind(declared["of"][-1]) if kind == "any" and declared.get("of") else kind


CALLS: tuple[str, ...] = tuple(_called())
CONSTRUCTS: tuple[str, ...] = (*_SYNTAX, *CALLS)


@dataclass(frozen=True)
class Form:
    """One construct in one place."""

    construct: str
    guard: str = ""
    holder: str = "direct"
    shape: str = "body"

    def __str__(self) -> str:
        return f"{self.construct} | {self.guard} | {self.holder} | {self.shape}"


# how the value is reached: statements before, its name, statements after
_HOLDERS: dict[str, tuple[str, str, str]] = {
    "direct": ("", _X, ""),
    "bracket": ("", 'input.arguments.value["x"]', ""),
    "variable": (f"y := {_X}", "y", ""),
    "unified": (f"y = {_X}", "y", ""),
    "late": ("", "y", f"y = {_X}"),
    "got": ('y := object.get(input.arguments.value, "x", "k")', "y", ""),
    "item": ("is_array(input.arguments.value.list); some y in input.arguments.value.list", "y", ""),
    "index": ("some j; y := input.arguments.value.list[j]", "y", ""),
    "member": ('some n, y in input.arguments.value; n == "x"', "y", ""),
    "pair": (f"[y, _] := [{_X}, 1]", "y", ""),
    "rule": ("", "held", ""),
    "function": ("", "y", ""),
}
HOLDERS = tuple(_HOLDERS)
SHAPES = ("body", "list", "list inside", "every", "every inside", "negated", "else", "set", "called")


def every_form() -> Iterator[Form]:
    """The whole product."""
    for parts in itertools.product(CONSTRUCTS, GUARDS, HOLDERS, SHAPES):
        yield Form(*parts)


def pack(form: Form) -> str:
    """The pack that denies, or not, for this form."""
    before, name, after = _HOLDERS[form.holder]
    core = form.construct.format(a=name)
    guard = form.guard.format(a=name)
    rules = [f"held := {_X}"] if form.holder == "rule" else []
    late = guard.startswith("after ")
    guards = [guard] if guard and not late else []
    tail = ([guard.removeprefix("after ")] if late else []) + ([after] if after else [])
    start = [before] if before else []
    message = "v" if "v " in form.construct or " v" in form.construct or "v]" in form.construct else '"No."'
    if form.shape == "list":
        body, message = [*start, *guards, f"count([1 | {core}]) == 0", *tail], '"No."'
    elif form.shape == "list inside":
        body, message = [f"count([1 | {'; '.join([*start, *guards, core, *tail])}]) == 0"], '"No."'
    elif form.shape == "every":
        body, message = [*start, *guards, f"every z in [1] {{ z; {core} }}", *tail], '"No."'
    elif form.shape == "every inside":
        body, message = [f"every z in [1] {{ z; {'; '.join([*start, *guards, core, *tail])} }}"], '"No."'
    else:
        body = [*start, *guards, core, *tail]
    if form.holder == "function":
        rules.append(_rule("f(y) := 1", body))
        body, message = [f"f({_X})"], '"No."'
    if form.shape in _WRAPPED:
        head, use = _WRAPPED[form.shape]
        rules.append(_rule(head, body) + (" else := 2" if form.shape == "else" else ""))
        body, message = [use], '"No."'
    rules.append(_rule(f'deny contains {{"code": "acme.x", "message": {message}}}', body))
    return _META + "\n\n".join(rules) + "\n"


_WRAPPED = {
    "negated": ("h := 1", "not h"),
    "else": ("h := 1", "h == 2"),
    "set": ("h contains 1", "count(h) == 0"),
    "called": ("h(z) := z", "not h(1)"),
}


def _rule(head: str, body: list[str]) -> str:
    return head + " if {\n\t" + "\n\t".join(body) + "\n}"


def document(value: Any) -> dict[str, Any]:
    """The input with one value in all the places where a pack looks for it."""
    held = {} if value is ABSENT else {"x": value}
    return {"arguments": {"value": {**held, "list": [] if value is ABSENT else [value]}}}


# values whose types OPA knows: written out, given by builtins, by comprehensions and by rules
KNOWN: tuple[str, ...] = (
    *("1", '"k"', "true", "null", '["k"]', "[1]", '["k", 1]', "[]", '{"k"}', "{1}", '{"k": 1}', "{}"),
    *('{"k": {"n": 1}}', "count(input.subject.groups)", "lower(input.server.id)", 'split(input.server.id, ",")'),
    *("[x | some x in input.subject.groups]", "{x | some x in input.subject.groups}", "[1 | true]"),
    *("{k: 1 | some k in input.subject.groups}", "time.date(input.time.ns)", "input.subject.groups", "input.time.ns"),
    *("const", "consts", "table", "keys", "fn(1)", "gathered"),
)
_GIVEN = (
    ("const", "const := 5"),
    ("consts", 'consts := ["k", "v"]'),
    ("table", 'table := {"k": 1, "z": 2}'),
    ("keys", "keys contains t.name if some t in input.targets"),
    ("fn", "fn(x) := x + 1 if is_number(x)"),
    ("gathered", 'gathered[k] := n if some k, n in {"k": 1}'),
)
_PAIRS = (
    *("{a} == {b}", "{a} != {b}", "{a} = {b}", "{a} < {b}", "{a} in {b}", "v := {a} + {b}", "v := {a} - {b}"),
    *("v := {a} * {b}", "v := {a} & {b}", "v := {a} | {b}", "v := {a}[{b}]", "{a} == [{b}]", "{a} == {{{b}}}"),
    *("some x in {a}; x == {b}", "v := {a}[_]; v == {b}", "[v] := {a}; v == {b}"),
)
_PLACES = (  # what stands before, what takes the value's place, and a rule that holds it
    ("", "{a}", ""),
    ("y := {a}; ", "y", ""),
    ("y = {a}; ", "y", ""),
    ("", "held", "held := {a}"),
    ("", "held", "held := {a} if input.session.known else := {a}"),
    ("", "given(1)", "given(_) := {a}"),
    ("some y in several; ", "y", "several contains {a}"),
)


def typed_packs(draw: random.Random) -> Iterator[str]:
    """Without end: packs around a construct, or a pair of values, of types that OPA knows."""
    while True:
        one, other = draw.choice(KNOWN), draw.choice(KNOWN)
        before, name, rule = draw.choice(_PLACES)
        construct = draw.choice((*CONSTRUCTS, *_PAIRS * 8))
        body = before.format(a=one) + construct.format(a=name.format(a=one), b=other)
        rules = [rule.format(a=one)] if rule else []
        used = " ".join((body, *rules))
        rules += [text for name, text in _GIVEN if re.search(rf"\b{name}\b", used)]
        message = 'sprintf("%v", [v])' if len(re.findall(r"\bv\b", body)) == 1 else '"No."'
        rules.append(_rule(f'deny contains {{"code": "acme.x", "message": {message}}}', body.split("; ")))
        yield _META + "\n\n".join(rules) + "\n"
