"""Following a path through the input's and the organisation's schema, one step at a time."""

from __future__ import annotations

from pdp.policy.gate.policy import Analysis, Named, Policy, Read, is_pack
from pdp.policy.gate.report import ERROR, WARNING, did_you_mean
from pdp.policy.gate.syntax import Body, Node, Unit
from pdp.policy.gate.value import (
    AnyOf,
    Fields,
    Free,
    Items,
    Place,
    Scalar,
    Schema,
    Unknown,
    Value,
    any_of,
    member,
    options,
    taint,
)

NAMED = {  # facts that stand for what the registry has
    "input.server.id": "server",
    "input.targets[_].server": "server",
    "input.targets[_].name": "tool",
    "input.targets[_].key": "key",
    "input.arguments.value": "argument",
}
LOST_HINT = "Read each fact by its full path, for example input.subject.groups, so that the gate can check it."


class Paths:
    """Steps through values, noting what is read and what is wrong."""

    def __init__(self, policy: Policy, unit: Unit, analysis: Analysis) -> None:
        self.policy = policy
        self.unit = unit
        self.analysis = analysis
        self.quiet = 0

    def say(self, span: Body, code: str, message: str, hint: str = "", severity: str = ERROR) -> None:
        """Note a finding, unless this is only the pass that learns what variables hold."""
        if not self.quiet:
            self.analysis.findings.append(self.unit.finding(span, code, message, hint, severity))

    def lost(self, span: Body, code: str, message: str, hint: str = LOST_HINT, *, all_input: bool = False) -> None:
        """What cannot be followed: refused in shipped packs, reported in others, of no concern elsewhere."""
        if self.quiet or not is_pack(self.unit):
            return
        severity = ERROR if self.unit.module.shipped else WARNING
        found = self.unit.finding(span, code, message, hint, severity)
        self.analysis.findings.append(found)
        if all_input:
            self.analysis.lost.append(found)

    def read(self, label: str, schemas: list[Schema], span: Body) -> None:
        """Note a read of the input, with the annotations of every schema on the way."""
        if self.quiet:
            return
        notes = {"phase": "", "trust": "", "readers": ""}
        for schema in schemas:
            notes = {name: str(schema.get(f"x-pdp-{name}", note)) for name, note in notes.items()}
        self.analysis.reads.append(Read(label, self.unit, span, notes["phase"], notes["trust"], notes["readers"]))

    def named(self, place: Value, name: Value, span: Body) -> None:
        """Note what is named of the registry: where a fact of it is compared, or an argument is read."""
        kind = NAMED.get(place.label, "") if isinstance(place, Place) else ""
        if kind and not self.quiet:
            self.analysis.named.append(Named(kind, name, self.unit, span))

    def step(self, value: Value, key: str | Node, span: Body, whole: Body) -> Value:
        """One step from `value`; `key` is a literal name or an index expression (then any member)."""
        return any_of([self._step(option, key, span, whole) for option in options(value)])

    def _step(self, value: Value, key: str | Node, span: Body, whole: Body) -> Value:  # noqa: PLR0911  # one way out per kind of value
        if isinstance(value, Place):
            return self._schema_step(value, key, span, whole)
        if isinstance(value, Free):
            return Free(_label(value.label, key))
        if isinstance(value, Fields):
            return self._field(value, key, span)
        if isinstance(value, Items):
            if isinstance(key, str) and value.shape != "object":
                self.say(span, "path.unknown", f"A list or set has no member `{key}`.", "Take items with some … in.")
                return Unknown()
            return taint(value.item, value.tainted)
        if isinstance(value, Scalar):
            self.say(span, "path.unknown", f"A {value.type} has no members.", "Read a path that the schema has.")
            return Unknown()
        if isinstance(value, AnyOf):
            return self.step(value, key, span, whole)
        self.lost(
            whole,
            "flow.unknown",
            "A field is read from a value whose origin the gate cannot follow (a parameter or a result).",
            "Hand single facts to functions, for example may_write(t.risk), and read fields in the rule itself.",
        )
        return Unknown(value.tainted)

    def _field(self, value: Fields, key: str | Node, span: Body) -> Value:
        if not isinstance(key, str):
            return any_of([item for _, item in value.fields])
        fields = dict(value.fields)
        if key in fields:
            return fields[key]
        self.say(span, "path.unknown", f"This object has no `{key}`.", did_you_mean(key, fields))
        return Unknown()

    def _schema_step(self, place: Place, key: str | Node, span: Body, whole: Body) -> Value:
        types = place.types
        if "array" in types:
            return self._index(place, key, span)
        if "object" in types:
            return self._member(place, key, span, whole)
        kinds = " or ".join(sorted(types))
        self.say(span, "path.unknown", f"`{place.label}` is a {kinds}; nothing stands below it.")
        return Unknown(place.tainted)

    def _index(self, place: Place, key: str | Node, span: Body) -> Value:
        if isinstance(key, str):
            hint = f"Write `some item in {place.label}` and read item.{key}."
            self.say(span, "path.unknown", f"`{place.label}` is a list; it has no `{key}`.", hint)
            return Unknown()
        items = place.schema.get("items")
        return Place(items, place.label + "[_]") if isinstance(items, dict) else Free(place.label + "[_]")

    def _member(self, place: Place, key: str | Node, span: Body, whole: Body) -> Value:
        rest = place.schema.get("additionalProperties")
        if isinstance(key, str) and key in place.properties:
            return Place(place.properties[key], member(place.label, key))
        if place.open and not place.properties:
            if isinstance(key, str):
                self.named(place, Scalar("string", value=key), span)
            return Free(_label(place.label, key))
        if isinstance(rest, dict):
            return Place(rest, f"{place.label}[_]")
        if isinstance(key, str):
            hint = did_you_mean(key, place.properties, f"There is: {', '.join(sorted(place.properties))}.")
            self.say(span, "path.unknown", f"`{place.label}` has no `{key}`.", hint)
            return Unknown(place.tainted)
        self.lost(
            whole,
            "flow.dynamic_key",
            f"A computed key is used on `{place.label}`; a key that is not there makes the rule vanish.",
            "Write the key out. For tables use a list of objects in data.org and some … in.",
            all_input=place.label == "input",
        )
        return Unknown(place.tainted or place.label == "input")

    def item(self, value: Value, span: Body) -> Value:
        """What iteration over `value` gives."""
        found: list[Value] = []
        for option in options(value):
            if isinstance(option, Place) and "array" in option.types:
                items = option.schema.get("items")
                label = option.label + "[_]"
                found.append(Place(items, label) if isinstance(items, dict) else Free(label))
            elif isinstance(option, Place) and "object" in option.types:
                found.append(self._members(option, span))
            elif isinstance(option, Free):
                found.append(Free(option.label + "[_]"))
            elif isinstance(option, Items):
                found.append(taint(option.item, option.tainted))
            elif isinstance(option, Fields):
                found += [value for _, value in option.fields]
            elif isinstance(option, Place | Scalar):
                name = f"`{option.label}`" if isinstance(option, Place) else f"A {option.type}"
                self.say(span, "path.not_iterable", f"{name} is no list; nothing can be taken from it.")
                found.append(Unknown(option.tainted))
            else:
                found.append(Unknown(option.tainted))
        return any_of(found)

    def _members(self, place: Place, span: Body) -> Value:
        rest = place.schema.get("additionalProperties")
        if isinstance(rest, dict):
            return Place(rest, f"{place.label}[_]")
        if place.open and not place.properties:
            return Free(f"{place.label}[_]")
        self.lost(
            span,
            "flow.dynamic_key",
            f"The members of `{place.label}` are taken one by one.",
            "Name the members that the rule is about.",
            all_input=place.label == "input",
        )
        return Unknown(place.tainted or place.label == "input")


def _label(label: str, key: str | Node) -> str:
    return member(label, key) if isinstance(key, str) else label + "[_]"
