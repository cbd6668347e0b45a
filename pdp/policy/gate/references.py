"""References: what a name or a dotted path stands for, and what reading it means."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from pdp.policy.gate import literals
from pdp.policy.gate.paths import Paths
from pdp.policy.gate.policy import Analysis, Expected, Key, Policy, Use, is_pack
from pdp.policy.gate.report import did_you_mean
from pdp.policy.gate.syntax import Body, Node, Unit, dotted, flatten, kind, span_of
from pdp.policy.gate.value import (
    Fields,
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
)

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
