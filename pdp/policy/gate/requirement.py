"""What a `require` element asks for, and its one `otherwise`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pdp.policy.gate.fields import CODE, KINDS, NOT_TEXT, OTHERWISE_EXAMPLE, WEIGHTS, check_fields
from pdp.policy.gate.report import Finding, did_you_mean
from pdp.policy.gate.syntax import Node, Rule, kind, number, span_of, string

_ELSEWHERE = ("Var", "RefDot")  # a reference, whose value is checked where it comes from
_SEAT_EXAMPLE = 'For example "seats": [{"group_id": "g-release", "n": 1}].'


def check(rule: Rule, fields: Mapping[str, Node]) -> Iterator[Finding]:
    """A requirement and, one level deep, what takes its place when it fails."""
    yield from _values(rule, fields)
    if "otherwise" in fields:
        yield from _otherwise(rule, fields["otherwise"])


def _values(rule: Rule, fields: Mapping[str, Node]) -> Iterator[Finding]:
    if "kind" in fields and string(fields["kind"]) not in KINDS:
        text = string(fields["kind"]) or ""
        hint = did_you_mean(text, KINDS, f"One of: {', '.join(sorted(KINDS))}, as literal text.")
        yield rule.unit.finding(span_of(fields["kind"]), "element.kind", "There is no such kind.", hint)
    if "weight" in fields and string(fields["weight"]) not in WEIGHTS:
        text = string(fields["weight"]) or ""
        hint = did_you_mean(text, WEIGHTS, "One of: advice, veto, as literal text; leave it out for a verdict.")
        yield rule.unit.finding(span_of(fields["weight"]), "element.weight", "There is no such weight.", hint)
    if "id" in fields and not CODE.fullmatch(string(fields["id"]) or ""):
        message = "The id must be a literal: lower-case letters, digits, `.`, `_` and `-`."
        yield rule.unit.finding(span_of(fields["id"]), "element.id", message, 'For example "id": "second-pair".')
    for name in ("stage", "ttl_seconds", "deny_quorum"):
        if name in fields and not _counts(fields[name]):
            yield _number(rule, name, fields[name])
    if "seats" in fields:
        yield from _seats(rule, fields["seats"])
    yield from _verdict(rule, fields)


def _verdict(rule: Rule, fields: Mapping[str, Node]) -> Iterator[Finding]:
    """What a judge must say, and how sure it must be: nothing but an allow unlocks, and a bar is one."""
    if "accepts" in fields and _texts(fields["accepts"]) != ["allow"]:
        message = '`accepts` must be `["allow"]`: a judge that does not allow asks for people, or refuses.'
        yield rule.unit.finding(span_of(fields["accepts"]), "element.accepts", message, 'Write "accepts": ["allow"].')
    if "min_confidence" in fields and not _is_share(fields["min_confidence"]):
        message, hint = "`min_confidence` must be above 0, and at most 1.", 'For example "min_confidence": 0.8.'
        yield rule.unit.finding(span_of(fields["min_confidence"]), "element.number", message, hint)


def _seats(rule: Rule, node: Node) -> Iterator[Finding]:
    """Somebody must be wanted: an approval by nobody would be given by nobody's silence."""
    name, body = kind(node)
    seats = body["items"] if name == "Array" else [] if name not in _ELSEWHERE else None
    if seats is None:
        return
    if not seats:
        message = "`seats` must be a list with at least one seat."
        yield rule.unit.finding(span_of(node), "element.seats", message, _SEAT_EXAMPLE)
    for seat in seats:
        if kind(seat)[0] in _ELSEWHERE:
            continue
        fields = {string(k): v for _, k, v in kind(seat)[1]["fields"]} if kind(seat)[0] == "Object" else {}
        if set(fields) != {"group_id", "n"} or kind(fields["group_id"])[0] in NOT_TEXT:
            message = "A seat has `group_id`, a text, and `n`, and nothing else."
            yield rule.unit.finding(span_of(seat), "element.seats", message, _SEAT_EXAMPLE)
        elif not _counts(fields["n"]):
            yield _number(rule, "n", fields["n"])


def _number(rule: Rule, name: str, node: Node) -> Finding:
    message, hint = f"`{name}` must be a whole number of at least 1.", f'For example "{name}": 1.'
    return rule.unit.finding(span_of(node), "element.number", message, hint)


def _counts(node: Node) -> bool:
    """A literal whole number from 1, or a reference (whose type is checked elsewhere)."""
    given = number(node)
    if given is None:
        return kind(node)[0] in _ELSEWHERE
    return given >= 1 and not given % 1


def _is_share(node: Node) -> bool:
    """A literal number, or a reference (whose type is checked elsewhere)."""
    given = number(node)
    return kind(node)[0] in _ELSEWHERE if given is None else 0 < given <= 1


def _texts(node: Node) -> list[str | None]:
    """The items of a list that is written out, each that is a literal text; else nothing."""
    name, body = kind(node)
    return [string(item) for item in body["items"]] if name == "Array" else []


def _otherwise(rule: Rule, node: Node) -> Iterator[Finding]:
    name, body = kind(node)
    if name != "Object" or not all(string(key) for _, key, _ in body["fields"]):
        message = "`otherwise` must be a requirement, written out."
        yield rule.unit.finding(span_of(node), "element.otherwise", message, f"Write: {OTHERWISE_EXAMPLE}")
        return
    fields = {string(key) or "": value for _, key, value in body["fields"]}
    nested = fields.pop("otherwise", None)
    if nested is not None:
        message = "`otherwise` stands inside an `otherwise`; one level only."
        hint = "What should follow then? Deny is the answer when the second requirement fails too."
        yield rule.unit.finding(span_of(nested), "element.otherwise", message, hint)
    yield from check_fields(rule, "require", fields, node, nested=True)
    yield from _values(rule, fields)
