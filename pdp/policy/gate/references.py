"""References: the value of a name or a dotted path, and the schema paths that it reads, step by
step.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from pdp.core.names import did_you_mean
from pdp.policy.gate import literals
from pdp.policy.gate.policy import Analysis, ComparedValue, InputRead, NamedFact, Policy, RuleKey, RuleUse, is_pack
from pdp.policy.gate.report import ERROR, WARNING
from pdp.policy.gate.syntax import REFERENCES, Body, Node, Unit, dotted, flatten, kind, span_of
from pdp.policy.gate.value import (
    AnyOf,
    Collection,
    ObjectValue,
    OpenValue,
    Scalar,
    Schema,
    SchemaValue,
    Unknown,
    Value,
    any_of,
    member,
    narrow,
    options,
)

NAMED = {  # facts that stand for what the registry has
    "input.server.id": "server",
    "input.targets[_].server": "server",
    "input.targets[_].name": "tool",
    "input.targets[_].key": "key",
    "input.arguments.value": "argument",
}
LOST_HINT = "Read each fact by its full path, for example input.subject.groups, so that the gate can check it."
MARKS = "~#?"
_BASE = re.compile(r"[.\[]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INDEX = re.compile(r'\[([^\]"]+)\]')
Env: TypeAlias = Mapping[str, Value]
Step: TypeAlias = "tuple[str | Node, Body]"
FIXTURES = ("lib", "testing")  # what tests make inputs from


class Paths:
    """The analysis of paths: steps through values, with the reads and findings on the way."""

    def __init__(self, policy: Policy, unit: Unit, analysis: Analysis) -> None:
        self.policy = policy
        self.unit = unit
        self.analysis = analysis
        self.quiet = 0

    def note(self, span: Body, code: str, message: str, hint: str = "", severity: str = ERROR) -> None:
        """Note a finding, unless this is only the pass that learns what variables hold."""
        if not self.quiet:
            self.analysis.findings.append(self.unit.finding(span, code, message, hint, severity))

    def unfollowed(
        self, span: Body, code: str, message: str, hint: str = LOST_HINT, *, all_input: bool = False
    ) -> None:
        """Note a value that cannot be followed: an error in shipped packs, a warning in others, ignored elsewhere."""
        if self.quiet or not is_pack(self.unit):
            return
        severity = ERROR if self.unit.module.shipped else WARNING
        finding = self.unit.finding(span, code, message, hint, severity)
        self.analysis.findings.append(finding)
        if all_input:
            self.analysis.unfollowed.append(finding)

    def read(self, label: str, schemas: list[Schema], span: Body) -> None:
        """Note a read of the input, with the annotations of every schema on the way."""
        if self.quiet:
            return
        notes = {"phase": "", "readers": ""}
        for schema in schemas:
            notes = {name: str(schema.get(f"x-pdp-{name}", note)) for name, note in notes.items()}
        self.analysis.reads.append(InputRead(label, self.unit, span, notes["phase"], notes["readers"]))

    def named(self, place: Value, name: Value, span: Body) -> None:
        """Note what is named of the registry: where a fact of it is compared, or an argument is read."""
        kind = NAMED.get(place.label, "") if isinstance(place, SchemaValue) else ""
        if kind and not self.quiet:
            self.analysis.named.append(NamedFact(kind, name, self.unit, span))

    def step(self, value: Value, key: str | Node, span: Body, whole: Body) -> Value:
        """One step from `value`; `key` is a literal name or an index expression (then any member)."""
        return any_of([self._step(option, key, span, whole) for option in options(value)])

    def _step(self, value: Value, key: str | Node, span: Body, whole: Body) -> Value:  # noqa: PLR0911  # one way out per kind of value
        if isinstance(value, SchemaValue):
            return self._schema_step(value, key, span, whole)
        if isinstance(value, OpenValue):
            return OpenValue(_label(value.label, key))
        if isinstance(value, ObjectValue):
            return self._field(value, key, span)
        if isinstance(value, Collection):
            if isinstance(key, str) and value.shape != "object":
                self.note(span, "path.unknown", f"A list or set has no member `{key}`.", "Take items with some … in.")
                return Unknown()
            return value.item
        if isinstance(value, Scalar):
            self.note(span, "path.unknown", f"A {value.type} has no members.", "Read a path that the schema has.")
            return Unknown()
        if isinstance(value, AnyOf):
            return self.step(value, key, span, whole)
        self.unfollowed(
            whole,
            "flow.unknown",
            "A field is read from a value whose origin the gate cannot follow (a parameter or a result).",
            "Hand single facts to functions, for example may_write(t.risk), and read fields in the rule itself.",
        )
        return Unknown()

    def _field(self, value: ObjectValue, key: str | Node, span: Body) -> Value:
        if not isinstance(key, str):
            return any_of([item for _, item in value.fields])
        fields = dict(value.fields)
        if key in fields:
            return fields[key]
        self.note(span, "path.unknown", f"This object has no `{key}`.", did_you_mean(key, fields))
        return Unknown()

    def _schema_step(self, place: SchemaValue, key: str | Node, span: Body, whole: Body) -> Value:
        types = place.types
        if "array" in types:
            return self._index(place, key, span)
        if "object" in types:
            return self._member(place, key, span, whole)
        kinds = " or ".join(sorted(types))
        self.note(span, "path.unknown", f"`{place.label}` is a {kinds}; nothing stands below it.")
        return Unknown()

    def _index(self, place: SchemaValue, key: str | Node, span: Body) -> Value:
        if isinstance(key, str):
            hint = f"Write `some item in {place.label}` and read item.{key}."
            self.note(span, "path.unknown", f"`{place.label}` is a list; it has no `{key}`.", hint)
            return Unknown()
        return _any_item(place)

    def _member(self, place: SchemaValue, key: str | Node, span: Body, whole: Body) -> Value:
        if isinstance(key, str) and key in place.properties:
            return SchemaValue(place.properties[key], member(place.label, key))
        if place.open and not place.properties:
            if isinstance(key, str):
                self.named(place, Scalar("string", value=key), span)
            return OpenValue(_label(place.label, key))
        if (any_member := _any_member(place)) is not None:
            return any_member
        if isinstance(key, str):
            hint = did_you_mean(key, place.properties, f"There is: {', '.join(sorted(place.properties))}.")
            self.note(span, "path.unknown", f"`{place.label}` has no `{key}`.", hint)
            return Unknown()
        self.unfollowed(
            whole,
            "flow.dynamic_key",
            f"A computed key is used on `{place.label}`; a key that is not there makes the rule vanish.",
            "Write the key out. For tables use a list of objects in data.org and some … in.",
            all_input=place.label == "input",
        )
        return Unknown()

    def item(self, value: Value, span: Body) -> Value:
        """The value of an item of `value`."""
        items_of_options: list[Value] = []
        for option in options(value):
            if isinstance(option, SchemaValue) and "array" in option.types:
                items_of_options.append(_any_item(option))
            elif isinstance(option, SchemaValue) and "object" in option.types:
                items_of_options.append(self._members(option, span))
            elif isinstance(option, OpenValue):
                items_of_options.append(OpenValue(option.label + "[_]"))
            elif isinstance(option, Collection):
                items_of_options.append(option.item)
            elif isinstance(option, ObjectValue):
                items_of_options += [value for _, value in option.fields]
            elif isinstance(option, SchemaValue | Scalar):
                name = f"`{option.label}`" if isinstance(option, SchemaValue) else f"A {option.type}"
                self.note(span, "path.not_iterable", f"{name} is no list; nothing can be taken from it.")
                items_of_options.append(Unknown())
            else:
                items_of_options.append(Unknown())
        return any_of(items_of_options)

    def _members(self, place: SchemaValue, span: Body) -> Value:
        if (any_member := _any_member(place)) is not None:
            return any_member
        self.unfollowed(
            span,
            "flow.dynamic_key",
            f"The members of `{place.label}` are taken one by one.",
            "Name the members that the rule is about.",
            all_input=place.label == "input",
        )
        return Unknown()


def _any_item(place: SchemaValue) -> Value:
    """An item of an array."""
    items, label = place.schema.get("items"), f"{place.label}[_]"
    return SchemaValue(items, label) if isinstance(items, dict) else OpenValue(label)


def _any_member(place: SchemaValue) -> Value | None:
    """A member of an object with any name; None where the schema lists the names."""
    rest, label = place.schema.get("additionalProperties"), f"{place.label}[_]"
    if isinstance(rest, dict):
        return SchemaValue(rest, label)
    return OpenValue(label) if place.open and not place.properties else None


def _label(label: str, key: str | Node) -> str:
    return member(label, key) if isinstance(key, str) else label + "[_]"


@dataclass(frozen=True, slots=True)
class Context:
    """The context of an expression: which references are known to be numbers, to match a pattern (`~`), to hold items
    (`#`) or to be there at all (`?`), by what else the body asks for.
    `shown` are the types that statements before this one have shown references to have."""

    guards: frozenset[str] = frozenset()
    shown: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def without(self, names: AbstractSet[str]) -> Context:
        """The same, without guards on variables that are declared anew, and on items under them."""
        shown = {key: types for key, types in self.shown.items() if not _goes_by(key) & names}
        guards = frozenset(g for g in self.guards if not _goes_by(g.lstrip(MARKS)) & names)
        return replace(self, guards=guards, shown=shown)

    def showing(self, types_by_reference: Mapping[str, frozenset[str]]) -> Context:
        """The same, after a statement that shows these types."""
        return replace(
            self, shown={**self.shown, **{k: t & self.shown.get(k, t) for k, t in types_by_reference.items()}}
        )


def _goes_by(key: str) -> set[str]:
    """The names that a reference goes by: its base, and those in its brackets."""
    return {_BASE.split(key)[0], *(name for index in _INDEX.findall(key) for name in _NAME.findall(index))}


class References(Paths, ABC):
    """The analysis of references to local variables, imports, rules of the package, the library, input and
    data.org."""

    def __init__(
        self, policy: Policy, unit: Unit, analysis: Analysis, analyse: Callable[[RuleKey], Analysis]
    ) -> None:
        super().__init__(policy, unit, analysis)
        self.analyse = analyse

    @abstractmethod
    def evaluate(self, node: Node, env: Env, context: Context) -> Value:
        """The value of an expression, noting everything it reads."""

    def reference(self, node: Node, env: Env, context: Context) -> Value:
        """The value of `a`, `a.b`, `a[i]`, …"""
        base, steps = flatten(node)
        whole = span_of(node)
        keys = {id(step): self.evaluate(step, env, context) for step, _ in steps if not isinstance(step, str)}
        name, body = kind(base)
        if name != "Var":
            value = self.evaluate(base, env, context)
        else:
            value, steps = self._base(str(body["value"]), steps, whole, env)
        for key, span in steps:
            if id(key) in keys:
                self._looked_up(value, keys[id(key)], span)
            value = self.step(value, key, span, whole)
        for shown_types in (context.shown[key] for key in self.key_of(node, value) if key in context.shown):
            value = narrow(value, shown_types)
        return value

    def _looked_up(self, table: Value, key: Value, span: Body) -> None:
        """A table that is written out is asked for a key: one that no key could be is a mistake."""
        for option in options(table):
            if isinstance(option, ObjectValue):
                self.compare(any_of([Scalar("string", value=name) for name, _ in option.fields]), key, span)
            elif isinstance(option, Collection) and option.shape == "set":
                self.compare(option.item, key, span)
            self.named(option, key, span)

    def compare(self, one: Value, other: Value, span: Body) -> None:
        """Two values are compared: say so when they can never be the same."""
        if self.quiet:
            return
        self.analysis.findings += literals.never(self.unit, span, one, other)
        for value, parameters in ((one, other), (other, one)):
            for option in options(parameters):
                self.named(option, value, span)
                if isinstance(option, Unknown) and option.parameter is not None:
                    self.analysis.expected.append(ComparedValue(option.parameter, value, self.unit, span))

    def _base(self, name: str, steps: list[Step], whole: Body, env: Env) -> tuple[Value, list[Step]]:
        if name in env and name not in ("input", "data"):  # these two are never anything else
            return env[name], steps
        if name == "_":
            return Unknown(), steps
        if name in self.unit.imports:
            path, _ = self.unit.imports[name]
            name, steps = path[0], [(key, whole) for key in path[1:]] + steps
        if name == "input":
            return self._input(steps, whole)
        if name == "data":
            return self._data(steps, whole)
        key = (self.unit.package, name)
        if key in self.policy.groups:
            return self.use(key, whole, short=True), steps
        names = [*env, *self.unit.imports, *self.policy.names(self.unit.package), "input", "data"]
        if not self.unit.package[0].endswith("_test"):
            hint = did_you_mean(name, names, "Declare variables with `some`, or define the rule.")
            self.note(whole, "names.unknown", f"Nothing is called `{name}` here.", hint)
        return Unknown(), steps

    def _input(self, steps: list[Step], whole: Body) -> tuple[Value, list[Step]]:
        root = SchemaValue(self.policy.schema_of(self.unit), "input")
        if not steps:
            self.unfollowed(whole, "flow.bare_input", "`input` is used as a whole.", all_input=True)
            return root, steps
        schemas: list[Schema] = []
        place, label = root, "input"
        for key, _ in steps:
            if not isinstance(key, str) or key not in place.properties:
                break
            place = SchemaValue(place.properties[key], f"{place.label}.{key}")
            schemas.append(place.schema)
            label = place.label
        self.read(label, schemas, whole)
        return root, steps

    def _data(self, steps: list[Step], whole: Body) -> tuple[Value, list[Step]]:
        names = []
        for key, _ in steps:
            if not isinstance(key, str):
                break
            names.append(key)
        path = tuple(names)
        if path[:1] == ("org",):
            return SchemaValue(self.policy.org_schema, "data.org"), steps[1:]
        resolved = self.policy.library(path)
        if resolved is not None and self._may_read(resolved[0][0]):
            rule, _ = resolved
            return self.use(rule, whole), steps[len(rule[0]) + 1 :]
        if not is_pack(self.unit) and path[:1] in (("packs",), ("pdp",)):
            return Unknown(), []
        if path[:1] == ("lib",) and resolved is None:
            hint = did_you_mean(
                ".".join(path[1:]), [".".join((*p[1:], n)) for p, n in self.policy.groups if p[0] == "lib"]
            )
            self.note(whole, "reads.unknown", f"The library has no `data.{'.'.join(path)}`.", hint)
            return Unknown(), []
        message = f"`data.{'.'.join(path)}` may not be read here."
        hint = "A pack reads its own package, data.lib and data.org; the input has everything else."
        self.note(whole, "reads.foreign", message, hint)
        return Unknown(), []

    def _may_read(self, package: tuple[str, ...]) -> bool:
        if package == FIXTURES and is_pack(self.unit):
            return False
        return package[0] == "lib" or package == self.unit.package or not is_pack(self.unit)

    def function(self, node: Node) -> RuleKey | None:
        """The rule that a call names; None for a builtin, and for what is nowhere defined."""
        names = dotted(node)
        if names is None:
            return None
        if names[0] in self.unit.imports:
            names = (*self.unit.imports[names[0]][0], *names[1:])
        if names[0] == "data":
            resolved = self.policy.library(names[1:])
            return resolved[0] if resolved else None
        key = (self.unit.package, names[0])
        return key if len(names) == 1 and key in self.policy.groups else None

    def use(self, key: RuleKey, span: Body, *, short: bool = False) -> Value:
        """The value of a rule, noted as used."""
        if not self.quiet:
            self.analysis.uses.append(RuleUse(key, self.unit, span, short))
        return self.analyse(key).value

    def key_of(self, node: Node, value: Value) -> frozenset[str]:
        """Names under which a reference can be recognised again: as written, and as a path without wildcards."""
        name, _ = kind(node)
        keys = set()
        if name in REFERENCES:
            base, steps = flatten(node)
            base_kind, body = kind(base)
            if base_kind == "Var":
                text = str(body["value"])
                for step, _ in steps:
                    text = member(text, step) if isinstance(step, str) else text + self._text(step)
                keys.add(text)
        label = getattr(value, "label", "")
        if label and "[_]" not in label:
            keys.add(label)
        return frozenset(keys)

    def _text(self, node: Node) -> str:
        """An index as written; a wildcard means another item each time, so it is never the same twice."""
        text = self.unit.text(span_of(node))
        return f"[{text}]" if text != "_" else f"[_{span_of(node)['start']}]"
