"""What a `require` element asks for, and its one `otherwise`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pdp.engines.gate.fields import CODE, KINDS, OTHERWISE_EXAMPLE, check_fields
from pdp.engines.gate.report import Finding, did_you_mean
from pdp.engines.gate.syntax import Node, Rule, kind, number, span_of, string


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
    if "id" in fields and not CODE.fullmatch(string(fields["id"]) or ""):
        message = "The id must be a literal: lower-case letters, digits, `.`, `_` and `-`."
        yield rule.unit.finding(span_of(fields["id"]), "element.id", message, 'For example "id": "second-pair".')
    for name in ("stage", "ttl_seconds"):
        if name in fields and not _counts(fields[name]):
            message = f"`{name}` must be a whole number of at least 1."
            hint = f'For example "{name}": 1.'
            yield rule.unit.finding(span_of(fields[name]), "element.number", message, hint)


def _counts(node: Node) -> bool:
    """A literal whole number from 1, or a reference (whose type is checked elsewhere)."""
    given = number(node)
    if given is None:
        return kind(node)[0] in ("Var", "RefDot")
    return given >= 1 and not given % 1


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
