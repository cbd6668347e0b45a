"""What stands inside a negation: there, engines part ways over what is missing.

`not startswith(input.arguments.value.path, "/srv/")` is true on the embedded engine when there is no path. OPA takes
operands out of the negation and evaluates them first, so there the whole body is undefined: a denial would vanish.
Under `not`, therefore, a rule, a function, a fact or an equality of these may be undefined, never their operands.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable

from pdp.policy.gate.binding import Binding, variables
from pdp.policy.gate.policy import Analysis, Key, Policy
from pdp.policy.gate.references import Context, Env, Step
from pdp.policy.gate.syntax import Node, Rule, Unit, children, dotted, flatten, kind, span_of
from pdp.policy.gate.value import Fields, Place, Unknown, Value, options

_REFERENCES = ("Var", "RefDot", "RefBrack")
_CLOSED = ("ArrayCompr", "SetCompr", "ObjectCompr", "String", "RawString", "Number", "Bool", "Null")
_MAY_FAIL = frozenset({"max", "min"})  # of nothing
_HINT = (
    "Put the test into a rule of its own and negate that rule; or give it a value first, for example "
    '`path := object.get(input.arguments.value, "path", "")`.'
)


class Negation(Binding, ABC):
    """Finds operands that may be undefined."""

    def __init__(self, policy: Policy, unit: Unit, analysis: Analysis, analyse: Callable[[Key], Analysis]) -> None:
        super().__init__(policy, unit, analysis, analyse)
        self._asked: set[Key] = set()  # rules whose values are being looked into

    def negation(self, node: Node, env: Env, context: Context) -> None:
        """Say so when an operand of the negated expression may be undefined."""
        self.quiet += 1
        culprit = self._operand(node, env, context)
        self.quiet -= 1
        if culprit is not None:
            text = self.unit.text(span_of(culprit))[:80]
            message = f"`{text}` may be missing, and then `not` is true on one engine and not on another."
            self.say(span_of(culprit), "negation.undefined", message, _HINT)

    def _operand(self, node: Node, env: Env, context: Context) -> Node | None:
        """The first operand that may be undefined, where the expression itself may be."""
        name, body = kind(node)
        if name in _REFERENCES:
            steps = [step for step, _ in flatten(node)[1] if not isinstance(step, str)]
            return self._first(steps, env, context)
        if name == "Call":
            return self._first(body["params"], env, context)
        if name in ("BoolExpr", "AssignExpr") and body["op"] == "Eq":
            sides = (body["lhs"], body["rhs"])
            found = [self._operand(s, env, context) for s in sides if kind(s)[0] in _REFERENCES]
            rest = [s for s in sides if kind(s)[0] not in _REFERENCES]
            return next((f for f in found if f is not None), None) or self._first(rest, env, context)
        return self._first(list(children(node)), env, context)

    def _first(self, nodes: list[Node], env: Env, context: Context) -> Node | None:
        return next((n for n in (self.unsure(node, env, context) for node in nodes) if n is not None), None)

    def unsure(self, node: Node, env: Env, context: Context) -> Node | None:
        """The part of an expression that may be undefined; None when it always has a value, or fails aloud."""
        name, body = kind(node)
        if name in _CLOSED:
            return None
        if name in _REFERENCES:
            return None if self._sure(node, env, context) else node
        if name == "Call":
            key, names = self.function(body["fcn"]), dotted(body["fcn"]) or ("",)
            if ".".join(names) in _MAY_FAIL or (key is not None and not self._always(key)):
                return node
            return self._first(body["params"], env, context)
        return self._first(list(children(node)), env, context)

    def _sure(self, node: Node, env: Env, context: Context) -> bool:
        """Whether a reference has a value: always, or because the body asks for it elsewhere."""
        if {f"?{key}" for key in self.key_of(node, self.evaluate(node, env, context))} & context.guards:
            return True
        base, steps = flatten(node)
        name, body = kind(base)
        if name != "Var":
            return not steps and self.unsure(base, env, context) is None
        called = str(body["value"])
        if called in env and called not in ("input", "data"):
            return _leads(env[called], steps)
        if called in self.unit.imports:
            path, span = self.unit.imports[called]
            called, steps = path[0], [*((key, span) for key in path[1:]), *steps]
        if called == "input":
            return _leads(Place(self.policy.input_schema, "input"), steps)
        if called == "data":
            return self._data_sure(steps)
        key = (self.unit.package, called)
        return called == "_" or (key in self.policy.groups and self._rule_sure(key, steps))

    def _data_sure(self, steps: list[Step]) -> bool:
        names = [key for key, _ in steps if isinstance(key, str)]
        if len(names) < len(steps):
            return False
        if names[:1] == ["org"]:
            return _leads(Place(self.policy.org_schema, "data.org"), steps[1:])
        found = self.policy.library(tuple(names))
        return found is not None and self._rule_sure(found[0], steps[len(found[0][0]) + 1 :])

    def _rule_sure(self, key: Key, steps: list[Step]) -> bool:
        return self._always(key) and (not steps or _leads(self.analyse(key).value, steps))

    def _always(self, key: Key) -> bool:
        """Whether a rule has a value whatever the input: a set, a map, one with a default, or one without conditions
        that is made of such."""
        rules = self.policy.groups.get(key, [])
        if any(rule.kind in ("default", "set", "map") for rule in rules):
            return True
        if key in self._asked:  # recursion is refused elsewhere
            return False
        self._asked.add(key)
        found = any(self._made(rule) for rule in rules if not rule.queries and all(map(_is_name, rule.params)))
        self._asked.discard(key)
        return found

    def _made(self, rule: Rule) -> bool:
        if rule.value is None or rule.unit is self.unit:
            given = {name: Unknown() for param in rule.params for name, _ in variables(param)}
            return rule.value is None or self.unsure(rule.value, given, Context()) is None
        return _constant(rule.value)


def _leads(value: Value, steps: list[Step]) -> bool:
    """Whether the steps lead to a value whatever the input: along required members of closed objects."""
    for step, _ in steps:
        found: list[Value] = []
        for option in options(value):
            if isinstance(option, Place) and option.types == {"object"} and step in option.properties:
                found.append(Place(option.properties[str(step)], f"{option.label}.{step}"))
            elif isinstance(option, Fields) and step in dict(option.fields):
                found.append(dict(option.fields)[str(step)])
            else:
                return False
        if len(found) != 1:
            return False
        [value] = found
    return True


def _is_name(node: Node) -> bool:
    return kind(node)[0] == "Var"


def _constant(node: Node) -> bool:
    name, _ = kind(node)
    return name in _CLOSED or (name in ("Array", "Set", "Object") and all(map(_constant, children(node))))
