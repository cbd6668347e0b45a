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

from pdp.policy.gate import literals
from pdp.policy.gate.policy import Analysis, Expected, Key, Named, Policy, Read, Use, is_pack
from pdp.policy.gate.report import ERROR, WARNING, did_you_mean
from pdp.policy.gate.syntax import Body, Node, Unit, dotted, flatten, kind, span_of
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
    narrow,
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


MARKS = "~#?"
_BASE = re.compile(r"[.\[]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INDEX = re.compile(r'\[([^\]"]+)\]')
Env: TypeAlias = Mapping[str, Value]
Step: TypeAlias = "tuple[str | Node, Body]"


@dataclass(frozen=True, slots=True)
class Context:
    """Where an expression stands: under a negation, and which references are known to be numbers, to match a pattern
    (`~`), to hold items (`#`) or to be there at all (`?`), by what else the body asks for. `shown` are the types that
    statements before this one have shown references to have."""

    negated: bool = False
    guards: frozenset[str] = frozenset()
    shown: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def under_not(self) -> Context:
        return replace(self, negated=True)

    def without(self, names: AbstractSet[str]) -> Context:
        """The same, without guards on variables that are declared anew, and on items under them."""
        shown = {key: types for key, types in self.shown.items() if not _goes_by(key) & names}
        guards = frozenset(g for g in self.guards if not _goes_by(g.lstrip(MARKS)) & names)
        return replace(self, guards=guards, shown=shown)

    def showing(self, found: Mapping[str, frozenset[str]]) -> Context:
        """The same, after a statement that shows these types."""
        return replace(self, shown={**self.shown, **{k: t & self.shown.get(k, t) for k, t in found.items()}})


def _goes_by(key: str) -> set[str]:
    """The names that a reference goes by: its base, and those in its brackets."""
    return {_BASE.split(key)[0], *(name for index in _INDEX.findall(key) for name in _NAME.findall(index))}


FIXTURES = ("lib", "testing")  # what tests make inputs from
ASSERTED_HINT = (
    "What nobody vouched for may only make an answer stricter: test it positively, for example "
    "`is_string(input.asserted.observation)`, then `contains(…)`, so that leaving it out never helps."
)


class References(Paths, ABC):
    """Resolves names: local variables, imports, rules of the package, the library, input and data.org."""

    def __init__(self, policy: Policy, unit: Unit, analysis: Analysis, analyse: Callable[[Key], Analysis]) -> None:
        super().__init__(policy, unit, analysis)
        self.analyse = analyse
        self.touched = 0  # how often asserted facts were looked at

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
        for known in (context.shown[key] for key in self.key_of(node, value) if key in context.shown):
            value = narrow(value, known)
        self.touched += value.tainted
        if context.negated and value.tainted:
            self.say(whole, "asserted.negated", "An asserted fact is used under a negation.", ASSERTED_HINT)
        return value

    def _looked_up(self, table: Value, key: Value, span: Body) -> None:
        """A table that is written out is asked for a key: one that no key could be is a mistake."""
        for option in options(table):
            if isinstance(option, Fields):
                self.meet(any_of([Scalar("string", value=name) for name, _ in option.fields]), key, span)
            elif isinstance(option, Items) and option.shape == "set":
                self.meet(option.item, key, span)
            self.named(option, key, span)

    def meet(self, one: Value, other: Value, span: Body) -> None:
        """Two values are compared: say so when they can never be the same."""
        if self.quiet:
            return
        self.analysis.findings += literals.never(self.unit, span, one, other)
        for value, parameters in ((one, other), (other, one)):
            for option in options(parameters):
                self.named(option, value, span)
                if isinstance(option, Unknown) and option.parameter is not None:
                    self.analysis.expected.append(Expected(option.parameter, value, self.unit, span))

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
        known = [*env, *self.unit.imports, *self.policy.names(self.unit.package), "input", "data"]
        if not self.unit.package[0].endswith("_test"):
            hint = did_you_mean(name, known, "Declare variables with `some`, or define the rule.")
            self.say(whole, "names.unknown", f"Nothing is called `{name}` here.", hint)
        return Unknown(), steps

    def _input(self, steps: list[Step], whole: Body) -> tuple[Value, list[Step]]:
        root = Place(self.policy.input_schema, "input")
        if not steps:
            self.lost(whole, "flow.bare_input", "`input` is used as a whole.", all_input=True)
            return root, steps
        schemas: list[Schema] = []
        place, label = root, "input"
        for key, _ in steps:
            if not isinstance(key, str) or key not in place.properties:
                break
            place = Place(place.properties[key], f"{place.label}.{key}")
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
            return Place(self.policy.org_schema, "data.org"), steps[1:]
        found = self.policy.library(path)
        if found is not None and self._may_read(found[0][0]):
            rule, _ = found
            return self.use(rule, whole), steps[len(rule[0]) + 1 :]
        if not is_pack(self.unit) and path[:1] in (("packs",), ("pdp",)):
            return Unknown(), []
        if path[:1] == ("lib",) and found is None:
            hint = did_you_mean(
                ".".join(path[1:]), [".".join((*p[1:], n)) for p, n in self.policy.groups if p[0] == "lib"]
            )
            self.say(whole, "reads.unknown", f"The library has no `data.{'.'.join(path)}`.", hint)
            return Unknown(), []
        message = f"`data.{'.'.join(path)}` may not be read here."
        hint = "A pack reads its own package, data.lib and data.org; the input has everything else."
        self.say(whole, "reads.foreign", message, hint)
        return Unknown(), []

    def _may_read(self, package: tuple[str, ...]) -> bool:
        if package == FIXTURES and is_pack(self.unit):
            return False
        return package[0] == "lib" or package == self.unit.package or not is_pack(self.unit)

    def function(self, node: Node) -> Key | None:
        """The rule that a call names; None for a builtin, and for what is nowhere defined."""
        names = dotted(node)
        if names is None:
            return None
        if names[0] in self.unit.imports:
            names = (*self.unit.imports[names[0]][0], *names[1:])
        if names[0] == "data":
            found = self.policy.library(names[1:])
            return found[0] if found else None
        key = (self.unit.package, names[0])
        return key if len(names) == 1 and key in self.policy.groups else None

    def use(self, key: Key, span: Body, *, short: bool = False) -> Value:
        """The value of a rule, noted as used."""
        if not self.quiet:
            self.analysis.uses.append(Use(key, self.unit, span, short))
        return self.analyse(key).value

    def key_of(self, node: Node, value: Value) -> frozenset[str]:
        """Names under which a reference can be recognised again: as written, and as a path without wildcards."""
        name, _ = kind(node)
        keys = set()
        if name in ("Var", "RefDot", "RefBrack"):
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
