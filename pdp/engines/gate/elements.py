"""The policy contract (DESIGN section 5): contract rules, and the elements that they give."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pdp.engines.gate.policy import CONTRACT
from pdp.engines.gate.report import Finding, did_you_mean
from pdp.engines.gate.syntax import Body, Node, Rule, kind, number, span_of, string

CODE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,95}")
_CONTROL = re.compile(r"(MB|MCP)-?[0-9]+(\.[0-9]+)*|[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}")
_NEVER_WAIVED = re.compile(r"MB-?[12](\D.*)?")
KINDS: Mapping[str, frozenset[str]] = {
    "approval": frozenset({"seats", "deny_quorum", "reason_required"}),
    "confirmation": frozenset({"min_assurance"}),
    "judge": frozenset({"prompt", "accepts", "min_confidence"}),
    "consent": frozenset({"scope", "purpose"}),
}
_REQUIREMENT = frozenset({"kind", "id", "code", "stage", "ttl_seconds"})
_FIELDS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {  # rule -> (needed, allowed besides)
    "allow": (frozenset({"target", "code"}), frozenset({"message", "control"})),
    "hide": (frozenset({"target", "code"}), frozenset({"message", "control", "waivable"})),
    "deny": (frozenset({"code", "message"}), frozenset({"control", "waivable"})),
    "require": (_REQUIREMENT, frozenset({"control", "message", "otherwise", "waivable"})),
    "oblige": (frozenset({"kind", "code"}), frozenset({"message", "control"})),
    "label": (frozenset({"label", "code"}), frozenset({"message", "control"})),
}
_EXAMPLES = {
    "allow": 'allow contains {"target": t.key, "code": "team.reads"} if { some t in input.targets; ... }',
    "hide": 'hide contains {"target": t.key, "code": "team.hidden"} if { some t in input.targets; ... }',
    "deny": 'deny contains {"code": "team.limit", "message": "Too much."} if { ... }',
    "require": 'require contains {"kind": "confirmation", "id": "confirm", "code": "team.confirm", "stage": 1, '
    '"ttl_seconds": 600, "min_assurance": "session"} if { ... }',
    "oblige": 'oblige contains {"kind": "redact", "code": "team.redact"} if { ... }',
    "label": 'label contains {"label": "sensitive", "code": "team.sensitive"} if { ... }',
    "meta": 'meta := {"servers": ["git"], "owner": "team@example.org"}',
}


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
    name, body = kind(rule.key)
    fields: dict[str, Node] = {}
    if name == "Object":
        for _, key, value in body["fields"]:
            text = string(key)
            if text is None or text in fields:
                return None, [_shape(rule, span_of(key), "A key of the element is computed or stands twice.")]
            fields[text] = value
    else:
        return None, [_shape(rule, span_of(rule.key), "The element is not written out as an object.")]
    code = string(fields["code"]) if "code" in fields else None
    findings = list(_fields(rule, rule.name, fields, rule.key))
    if "code" in fields and (code is None or not CODE.fullmatch(code)):
        findings.append(_code(rule, fields["code"]))
    if rule.name == "require":
        findings += _requirement(rule, fields, rule.key, nested=False)
    if "waivable" in fields or "control" in fields or _is_baseline(rule):
        findings += _baseline(rule, fields)
    if code is None or any(f.code == "element.code" for f in findings):
        return None, findings
    return Element(rule, code, span_of(fields["code"]), fields), findings


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


def _shape(rule: Rule, span: Body, message: str, code: str = "rule.shape") -> Finding:
    return rule.unit.finding(span, code, message, f"Write: {_EXAMPLES[rule.name]}")


def _code(rule: Rule, node: Node) -> Finding:
    message = "The code must be a literal: lower-case letters, digits, `.`, `_` and `-`."
    hint = 'One rule per code, for example "code": "team.limit"; put what varies into the message.'
    return rule.unit.finding(span_of(node), "element.code", message, hint)


def _head(rule: Rule) -> Iterator[Finding]:
    if rule.name == "allow" and _is_baseline(rule):
        message = "The baseline grants nothing."
        yield rule.unit.finding(rule.span, "allow.baseline", message, "Grants belong into an organisation's pack.")
    if rule.kind != "set" or not rule.plain:
        form = {"default": "`default`", "function": "a function", "map": "keys in its head"}.get(
            rule.kind, "one value"
        )
        yield _shape(rule, rule.span, f"`{rule.name}` is a set of elements, it cannot have {form}.")


def _fields(
    rule: Rule, what: str, fields: Mapping[str, Node], node: Node, *, nested: bool = False
) -> Iterator[Finding]:
    needed, besides = _FIELDS[what]
    if what == "require":
        own = string(fields["kind"]) if "kind" in fields else None
        needed = needed | KINDS.get(own or "", frozenset())
        besides = besides | (frozenset({"grant"}) if own == "approval" else frozenset())
        if nested:
            needed, besides = needed - {"stage"}, (besides | {"stage"}) - {"otherwise", "waivable"}
    for name in sorted(needed - set(fields)):
        message = f"The element of `{what}` lacks `{name}`."
        yield rule.unit.finding(span_of(node), "element.missing", message, f"Write: {_EXAMPLES[what]}")
    if what == "oblige":
        besides = besides | (set(fields) - {"pack"})  # what an obligation says besides is between pack and caller
    for name in sorted(set(fields) - needed - besides):
        hint = did_you_mean(name, needed | besides, f"It has: {', '.join(sorted(needed | besides))}.")
        message = f"An element of `{what}` has no field `{name}`."
        yield rule.unit.finding(span_of(fields[name]), "element.unknown", message, hint)
    for name in sorted({"code", "message", "id", "control", "label", "prompt", "target"} & set(fields)):
        if kind(fields[name])[0] in ("Number", "Bool", "Null", "Array", "Set", "Object"):
            message = f"`{name}` must be text."
            yield rule.unit.finding(span_of(fields[name]), "element.type", message, "Put it in quotes.")


def _requirement(rule: Rule, fields: Mapping[str, Node], node: Node, *, nested: bool) -> Iterator[Finding]:
    if "kind" in fields and string(fields["kind"]) not in KINDS:
        text = string(fields["kind"]) or ""
        hint = did_you_mean(text, KINDS, f"One of: {', '.join(sorted(KINDS))}, as literal text.")
        yield rule.unit.finding(span_of(fields["kind"]), "element.kind", "There is no such kind.", hint)
    if "id" in fields and not CODE.fullmatch(string(fields["id"]) or ""):
        message = "The id must be a literal: lower-case letters, digits, `.`, `_` and `-`."
        yield rule.unit.finding(span_of(fields["id"]), "element.id", message, 'For example "id": "second-pair".')
    for name in ("stage", "ttl_seconds"):
        value = fields.get(name)
        if value is None:
            continue
        given = number(value)
        if kind(value)[0] not in ("Number", "Var", "RefDot") or (given is not None and (given < 1 or given % 1)):
            message = f"`{name}` must be a whole number of at least 1."
            yield rule.unit.finding(span_of(value), "element.number", message, f'For example "{name}": 1.')
    if "otherwise" not in fields or nested:
        return
    inner = fields["otherwise"]
    tag, body = kind(inner)
    if tag != "Object" or not all(string(key) for _, key, _ in body["fields"]):
        message = "`otherwise` must be a requirement, written out."
        yield rule.unit.finding(
            span_of(inner), "element.otherwise", message, f"Write: {_EXAMPLES['require'][17:-11]}"
        )
        return
    below = {string(key) or "": value for _, key, value in body["fields"]}
    if "otherwise" in below:
        message = "`otherwise` stands inside an `otherwise`; one level only."
        hint = "What should follow then? Deny is the answer when the second requirement fails too."
        yield rule.unit.finding(span_of(below["otherwise"]), "element.otherwise", message, hint)
        del below["otherwise"]
    yield from _fields(rule, "require", below, inner, nested=True)
    if "code" in below and not CODE.fullmatch(string(below["code"]) or ""):
        yield _code(rule, below["code"])
    yield from _requirement(rule, below, inner, nested=True)


def _is_baseline(rule: Rule) -> bool:
    return rule.unit.package == ("packs", "baseline")


def _baseline(rule: Rule, fields: Mapping[str, Node]) -> Iterator[Finding]:
    control = string(fields["control"]) if "control" in fields else None
    if _is_baseline(rule) or ("control" in fields and control != ""):
        if control is None or not _CONTROL.fullmatch(control):
            message = "The control must be literal text, as in MB-3.1 or MCP03."
            span = span_of(fields["control"]) if "control" in fields else rule.span
            yield rule.unit.finding(span, "element.control", message, 'For example "control": "MB-3.1".')
    waivable = fields.get("waivable")
    if waivable is None:
        return
    span = span_of(waivable)
    tag, body = kind(waivable)
    if tag != "Bool" or body["value"] is not True:
        hint = 'Write "waivable": true, or leave it out.'
        yield rule.unit.finding(span, "element.waivable", "`waivable` can only be literally true.", hint)
    if not _is_baseline(rule):
        hint = "An organisation changes its own rule instead of waiving it."
        yield rule.unit.finding(span, "element.waivable", "Only elements of the baseline can be waived.", hint)
    elif control is None or _NEVER_WAIVED.fullmatch(control):
        message = "Elements of MB-1 and MB-2 (identity, isolation), or without a control, cannot be waived."
        yield rule.unit.finding(span, "element.waivable", message, "Take `waivable` out.")


def contract_names() -> tuple[str, ...]:
    """The names a pack's rules may have for the composition to see them."""
    return CONTRACT
