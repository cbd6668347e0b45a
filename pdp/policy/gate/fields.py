"""The fields of elements: which are needed, which may be there, and what they look like."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pdp.core.check import is_service_code
from pdp.policy.gate.report import Finding, did_you_mean
from pdp.policy.gate.syntax import Node, Rule, kind, span_of, string

CODE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,95}")
KINDS: Mapping[str, frozenset[str]] = {
    "approval": frozenset({"seats", "deny_quorum", "reason_required"}),
    "confirmation": frozenset({"min_assurance"}),
    "judge": frozenset({"prompt", "accepts", "min_confidence"}),
    "consent": frozenset({"scope", "purpose"}),
}
WEIGHTS = frozenset({"advice", "veto"})  # of a judge that is heard beside people
_BESIDES: Mapping[str, frozenset[str]] = {"approval": frozenset({"grant"}), "judge": frozenset({"weight"})}
_UNLOCKS = frozenset({"accepts", "min_confidence"})
_REQUIREMENT = frozenset({"kind", "id", "code", "stage", "ttl_seconds"})
_FIELDS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {  # rule -> (needed, allowed besides)
    "allow": (frozenset({"target", "code"}), frozenset({"message", "control"})),
    "hide": (frozenset({"target", "code"}), frozenset({"message", "control", "waivable"})),
    "deny": (frozenset({"code", "message"}), frozenset({"control", "waivable"})),
    "require": (_REQUIREMENT, frozenset({"control", "message", "otherwise", "waivable"})),
    "oblige": (frozenset({"kind", "code"}), frozenset({"message", "control"})),
    "label": (frozenset({"label", "code"}), frozenset({"message", "control"})),
}
EXAMPLES = {
    "allow": 'allow contains {"target": t.key, "code": "team.reads"} if { some t in input.targets; ... }',
    "hide": 'hide contains {"target": t.key, "code": "team.hidden"} if { some t in input.targets; ... }',
    "deny": 'deny contains {"code": "team.limit", "message": "Too much."} if { ... }',
    "require": 'require contains {"kind": "confirmation", "id": "confirm", "code": "team.confirm", "stage": 1, '
    '"ttl_seconds": 600, "min_assurance": "signed_in"} if { ... }',
    "oblige": 'oblige contains {"kind": "redact", "code": "team.redact"} if { ... }',
    "label": 'label contains {"label": "sensitive", "code": "team.sensitive"} if { ... }',
    "meta": 'meta := {"servers": ["git"], "owner": "team@example.org"}',
}


OTHERWISE_EXAMPLE = (
    '"otherwise": {"kind": "confirmation", "id": "confirm", "code": "team.confirm", "ttl_seconds": 600, '
    '"min_assurance": "signed_in"}'
)
_TEXT = frozenset({"code", "message", "id", "control", "label", "prompt", "target"})
NOT_TEXT = ("Number", "Bool", "Null", "Array", "Set", "Object")


def check_fields(
    rule: Rule, what: str, fields: Mapping[str, Node], node: Node, *, nested: bool = False
) -> Iterator[Finding]:
    """Missing, unknown and mistyped fields of an element of the rule `what`; `nested` for an `otherwise`."""
    needed, besides = _allowed(what, fields, nested=nested)
    if "code" in fields and not CODE.fullmatch(string(fields["code"]) or ""):
        yield _code(rule, fields["code"])
    elif "code" in fields and not rule.unit.module.shipped and is_service_code(string(fields["code"]) or ""):
        family = (string(fields["code"]) or "").partition(".")[0]
        message = f"Codes that begin with `{family}` are the service's own: records would not say who denied."
        hint = f'Begin with the pack\'s name: "{rule.unit.package[-1]}.{family}".'
        yield rule.unit.finding(span_of(fields["code"]), "element.reserved", message, hint)
    for name in sorted(needed - set(fields)):
        message = f"The element of `{what}` lacks `{name}`."
        yield rule.unit.finding(span_of(node), "element.missing", message, f"Write: {EXAMPLES[what]}")
    for name in sorted(set(fields) - needed - besides):
        hint = did_you_mean(name, needed | besides, f"It has: {', '.join(sorted(needed | besides))}.")
        message = f"An element of `{what}` has no field `{name}`."
        yield rule.unit.finding(span_of(fields[name]), "element.unknown", message, hint)
    for name in sorted(_TEXT & set(fields)):
        if kind(fields[name])[0] in NOT_TEXT:
            message = f"`{name}` must be text."
            yield rule.unit.finding(span_of(fields[name]), "element.type", message, "Put it in quotes.")


def _allowed(what: str, fields: Mapping[str, Node], *, nested: bool) -> tuple[frozenset[str], frozenset[str]]:
    """The fields that are needed, and those that may be there besides."""
    needed, besides = _FIELDS[what]
    if what == "oblige":  # what an obligation says besides is between pack and caller
        besides = besides | (set(fields) - {"pack"})
    if what == "require":
        own = string(fields["kind"]) if "kind" in fields else None
        needed = needed | KINDS.get(own or "", frozenset())
        besides = besides | _BESIDES.get(own or "", frozenset())
        heard = own == "judge" and "weight" in fields and string(fields["weight"]) in WEIGHTS
        if heard and not nested:  # nothing that it says unlocks anything, so it takes nobody's place either
            needed, besides = needed - _UNLOCKS, besides - _UNLOCKS - {"otherwise"}
    if nested:
        needed, besides = needed - {"stage"}, (besides | {"stage"}) - {"otherwise", "waivable", "weight"}
    return needed, besides


def _code(rule: Rule, node: Node) -> Finding:
    message = "The code must be a literal: lower-case letters, digits, `.`, `_` and `-`."
    hint = 'One rule per code, for example "code": "team.limit"; put what varies into the message.'
    return rule.unit.finding(span_of(node), "element.code", message, hint)
