"""The policy contract (DESIGN section 5): contract rules, and the elements that they give."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pdp.policy.gate import recorded, requirement
from pdp.policy.gate.fields import EXAMPLES, check_fields
from pdp.policy.gate.report import Finding, did_you_mean
from pdp.policy.gate.syntax import Body, Node, Rule, kind, span_of, string
from pdp.ports import Pack

_CONTROL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}")
_NEVER_WAIVED = re.compile(r"MB-?[12](\D.*)?")


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a contract rule. `code_span` is where its literal code stands, quotes included."""

    rule: Rule
    code: str
    code_span: Body
    fields: Mapping[str, Node]


def of_rule(rule: Rule) -> tuple[Element | None, list[Finding]]:
    """The element of one contract rule (not `meta`), or what is wrong with its shape."""
    findings = list(_head(rule))
    if findings or rule.key is None:
        return None, findings
    fields = _written_out(rule.key)
    if isinstance(fields, str):
        return None, [_shape(rule, span_of(rule.key), fields)]
    findings = list(check_fields(rule, rule.name, fields, rule.key))
    if rule.name == "require":
        findings += requirement.check(rule, fields)
    findings += recorded.check(rule, fields)
    if "waivable" in fields or "control" in fields or _is_baseline(rule):
        findings += _baseline(rule, fields)
    code = string(fields["code"]) if "code" in fields else None
    if code is None or any(f.code == "element.code" for f in findings):
        return None, findings
    return Element(rule, code, span_of(fields["code"]), fields), findings


def _written_out(node: Node) -> dict[str, Node] | str:
    """The fields of a literal object with literal keys, or what is wrong."""
    name, body = kind(node)
    if name != "Object":
        return "The element is not written out as an object."
    fields: dict[str, Node] = {}
    for _, key, value in body["fields"]:
        text = string(key)
        if text is None or text in fields:
            return "A key of the element is computed or stands twice."
        fields[text] = value
    return fields


def meta(rules: list[Rule]) -> Iterator[Finding]:
    """The one `meta` of a pack: written out, naming its servers and its owner."""
    for again in rules[1:]:
        yield again.unit.finding(again.span, "meta.twice", "`meta` is defined twice.", "Keep one.")
    rule = rules[0]
    value = rule.value
    if rule.kind != "complete" or rule.queries or value is None or kind(value)[0] != "Object":
        yield _shape(rule, rule.span, "`meta` is one object, written out, without conditions.", "meta.shape")
        return
    fields = {string(key): item for _, key, item in kind(value)[1]["fields"]}
    for key in sorted(str(k) for k in set(fields) - {"servers", "owner", "description"}):
        hint = did_you_mean(key, ["servers", "owner", "description"])
        yield rule.unit.finding(span_of(value), "meta.shape", f"`meta` has no field `{key}`.", hint)
    servers, owner = fields.get("servers"), fields.get("owner")
    if servers is None or kind(servers)[0] != "Array" or not all(string(s) for s in kind(servers)[1]["items"]):
        yield _shape(rule, rule.span, "`servers` must list the servers that the pack is for, as text.", "meta.shape")
    if owner is None or not string(owner):
        yield _shape(rule, rule.span, "`owner` must say, as text, who answers for the pack.", "meta.shape")


def pack(name: str, rules: list[Rule]) -> Pack:
    """What the `meta` of a pack says, once `meta` has nothing to say against it."""
    value = rules[0].value
    assert value is not None  # noqa: S101 - `meta` has looked
    fields = {string(key): item for _, key, item in kind(value)[1]["fields"]}
    servers = [string(item) or "" for item in kind(fields["servers"])[1]["items"]]
    return Pack(name, string(fields["owner"]) or "", tuple(servers))


def _shape(rule: Rule, span: Body, message: str, code: str = "rule.shape") -> Finding:
    return rule.unit.finding(span, code, message, f"Write: {EXAMPLES[rule.name]}")


def _head(rule: Rule) -> Iterator[Finding]:
    if rule.name == "allow" and _is_baseline(rule):
        message = "The baseline grants nothing."
        yield rule.unit.finding(rule.span, "allow.baseline", message, "Grants belong into an organisation's pack.")
    if rule.kind != "set" or not rule.plain:
        form = {"default": "`default`", "function": "a function", "map": "keys in its head"}.get(
            rule.kind, "one value"
        )
        yield _shape(rule, rule.span, f"`{rule.name}` is a set of elements, it cannot have {form}.")


def _is_baseline(rule: Rule) -> bool:
    return rule.unit.package == ("packs", "baseline")


def _baseline(rule: Rule, fields: Mapping[str, Node]) -> Iterator[Finding]:
    """Controls and waivers: every element of the baseline names its control, and only those can be waived."""
    control = string(fields["control"]) if "control" in fields else None
    optional = not _is_baseline(rule) and ("control" not in fields or control == "")
    if not optional and not _CONTROL.fullmatch(control or ""):
        message = "The control must be literal text, as in MB-3.1 or MCP03."
        span = span_of(fields["control"]) if "control" in fields else rule.span
        yield rule.unit.finding(span, "element.control", message, 'For example "control": "MB-3.1".')
    if "waivable" in fields:
        yield from _waivable(rule, fields["waivable"], control)


def _waivable(rule: Rule, node: Node, control: str | None) -> Iterator[Finding]:
    span = span_of(node)
    tag, body = kind(node)
    if tag != "Bool" or body["value"] is not True:
        hint = 'Write "waivable": true, or leave it out.'
        yield rule.unit.finding(span, "element.waivable", "`waivable` can only be literally true.", hint)
    if not _is_baseline(rule):
        hint = "An organisation changes its own rule instead of waiving it."
        yield rule.unit.finding(span, "element.waivable", "Only elements of the baseline can be waived.", hint)
    elif control is None or _NEVER_WAIVED.fullmatch(control):
        message = "Elements of MB-1 and MB-2 (identity, isolation), or without a control, cannot be waived."
        yield rule.unit.finding(span, "element.waivable", message, "Take `waivable` out.")
