"""Bodies and rules: which variable holds what, in whatever order the statements stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from typing_extensions import override

from pdp.policy.gate.binding import Literal, objects, variables
from pdp.policy.gate.negation import Negation
from pdp.policy.gate.policy import CONTRACT, is_pack
from pdp.policy.gate.references import Context, Env
from pdp.policy.gate.syntax import Body, Node, Query, Rule, kind, literal, named, span_of, trees
from pdp.policy.gate.value import COLLECTIONS, Scalar, Unknown, Value

_WITH_HINT = "Policy decides on the one input it is given; `with` is for tests."


class Flow(Negation):
    """Walks one rule (all its definitions)."""

    _named: AbstractSet[str] = frozenset()

    def rule(self, rule: Rule) -> list[Value]:
        """Values that one definition gives. A set or map gives its items."""
        self._named = named(trees(rule))
        env: dict[str, Value] = {}
        for index, param in enumerate(rule.params):
            self._names(param)
            self._apart(objects(param))
            self.bind(param, Unknown(parameter=((rule.unit.package, rule.name), index)), env)
        if rule.kind == "default":
            return [self.evaluate(rule.value, {}, Context())] if rule.value is not None and not rule.params else []
        found: list[Value] = []
        for query in rule.queries or (None,):
            inner, context = self.query(query.literals, env, Context()) if query else (env, Context())
            found += self._head(rule, query, inner, context)
        return found

    def _head(self, rule: Rule, query: Query | None, env: Env, context: Context) -> list[Value]:
        for key in rule.extra:
            self.evaluate(key, env, context)
        if rule.key is not None:
            value = self.evaluate(rule.key, env, context)
            self.analysis.heads.append((rule, value))
            self._optional(rule.key, rule, env, context)
            return [value]
        given = query.value if query else None
        if given is None and not (query and query.is_else):
            given = rule.value
        return [self.evaluate(given, env, context) if given is not None else Scalar("boolean")]

    def _optional(self, node: Node, rule: Rule, env: Env, context: Context) -> None:
        """What is missing would make the whole element vanish, so the body must ask for it first."""
        if not is_pack(self.unit) or rule.name not in CONTRACT:
            return
        self.quiet += 1
        culprit = self.unsure(node, env, context)
        self.quiet -= 1
        if culprit is not None:
            message = f"`{self.unit.text(span_of(culprit))[:80]}` may be missing; then the whole element vanishes."
            hint = "Ask for it in the body first, for example is_number(...), or leave it out of the element."
            self.say(span_of(culprit), "element.optional", message, hint)

    @override
    def query(self, literals: Sequence[Body], env: Env, context: Context) -> tuple[dict[str, Value], Context]:
        parsed = [literal(statement) for statement in literals]
        declared = set(self.declared(parsed))
        context = context.without(declared)
        inner = {name: value for name, value in env.items() if name not in declared}
        inner |= self.settle(parsed, inner, context)
        guards = set(context.guards)
        for name, body, modifiers in parsed:
            if modifiers:  # asked of other facts
                continue
            if name == "Expr":
                guards |= self.guards(body["expr"], inner, context)
            elif name == "SomeIn":
                guards |= self.guards(body["collection"], inner, context)
        context = replace(context, guards=frozenset(guards))
        bound = dict(env)
        waiting: set[str] = set()  # declared, and given no value yet
        for statement, found in zip(literals, parsed, strict=True):
            if not self.quiet:
                self._apart(self.apart(found, bound.keys() - waiting))
                waiting = (
                    waiting | set(self.declared([found])) if found[0] == "SomeVars" else waiting - named(statement)
                )
                bound |= self.settle([found], bound, context)
                self._late(statement, inner.keys() - bound.keys())
            self._statement(statement, found, inner, context)
            name, body, modifiers = found
            if name == "Expr" and not modifiers:
                context = context.showing(self.shows(body["expr"], inner, context))
        return inner, context

    def _statement(self, statement: Body, found: Literal, env: Env, context: Context) -> None:
        name, body, modifiers = found
        if modifiers:
            message = "`with` replaces facts or rules."
            self.lost(statement["span"], "flow.with", message, _WITH_HINT, all_input=True)
        for modifier in modifiers:
            self.evaluate(modifier["as"], env, context)
        if name == "Expr":
            self._expression(body["expr"], env, context)
        elif name == "NotExpr":
            self.evaluate(body["expr"], env, context.under_not())
            self.negation(body["expr"], env, context)
        elif name == "SomeIn":
            collection = self.evaluate(body["collection"], env, context)
            self.typed(body["collection"], collection, COLLECTIONS, "`some … in`")
            self._names(body["key"], body["value"])
            self.bind(body["value"], self.item(collection, span_of(body["collection"])), {})
        elif name == "SomeVars":
            for span in body["vars"]:
                self._shadow(self.unit.text(span), span)
                self._idle(span, self._named)
        else:
            self._every(body, env, context)

    def _expression(self, node: Node, env: Env, context: Context) -> None:
        name, body = kind(node)
        if name == "AssignExpr" and body["op"] == "ColEq":
            self._names(body["lhs"])
            self.bind_from((body["lhs"], body["rhs"]), env, {}, context)
            return
        if name == "AssignExpr":
            for one, other in ((body["lhs"], body["rhs"]), (body["rhs"], body["lhs"])):
                if kind(one)[0] in ("Object", "Array"):
                    self.bind_from((one, other), env, {}, context)
        self.evaluate(node, env, context)

    def _every(self, body: Body, env: Env, context: Context) -> None:
        # `every` is "not some … not": asserted facts may not stand in it
        domain = self.evaluate(body["domain"], env, context.under_not())
        inner = dict(env)
        if body["key"] is not None:
            self._shadow(self.unit.text(body["key"]), body["key"])
            inner[self.unit.text(body["key"])] = Scalar("any")
        self._shadow(self.unit.text(body["value"]), body["value"])
        inner[self.unit.text(body["value"])] = self.item(domain, span_of(body["domain"]))
        used = named(body["query"]["stmts"])
        for span in (body["key"], body["value"]):
            if span is not None:
                self._idle(span, used)
        hidden = {name for name, value in inner.items() if env.get(name) is not value}
        self.query(body["query"]["stmts"], inner, context.under_not().without(hidden))

    def _late(self, statement: Body, later: AbstractSet[str]) -> None:
        """One engine finds a value further down for some kinds of statement, the other for others."""
        for name in sorted(named(statement) & later):
            message = f"`{name}` is used here, and given a value further down."
            self.say(statement["span"], "names.late", message, "Put this after it.")

    def _apart(self, found: Iterator[Node]) -> None:
        for node in found:
            message = (
                "An object as a pattern: OPA wants all the fields of what it fits, the embedded engine these alone."
            )
            hint = "Give the object a name and read its fields, x.kind; to hold all of it against another, write ==."
            self.say(span_of(node), "syntax.pattern", message, hint)

    def _names(self, *patterns: Node | None) -> None:
        for pattern in patterns:
            for variable, span in variables(pattern) if pattern is not None else ():
                self._shadow(variable, span)

    def _idle(self, span: Body, used: AbstractSet[str]) -> None:
        """OPA does not load a policy that declares a variable and makes nothing of it."""
        name = self.unit.text(span)
        if name != "_" and name not in used:
            hint = "Take it out, or write `_` in its place; `every` needs a value that its body asks about."
            self.say(span, "names.unused", f"`{name}` is declared and not used, which OPA refuses.", hint)

    def _shadow(self, name: str, span: Body) -> None:
        taken = name in ("input", "data") or (is_pack(self.unit) and self.is_global(name))
        if taken or (is_pack(self.unit) and name in self.policy.builtins.declarations):
            self.say(span, "names.shadowed", f"`{name}` already means something else.", "Choose another name.")
