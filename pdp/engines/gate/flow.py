"""Bodies and rules: which variable holds what, in whatever order the statements stand."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from pdp.engines.gate.binding import Literal, variables
from pdp.engines.gate.negation import Negation
from pdp.engines.gate.policy import CONTRACT, is_pack
from pdp.engines.gate.references import Context, Env
from pdp.engines.gate.syntax import Body, Node, Query, Rule, children, kind, literal, span_of
from pdp.engines.gate.value import Free, Scalar, Unknown, Value

_WITH_HINT = "Policy decides on the one input it is given; `with` is for tests."


class Flow(Negation):
    """Walks one rule (all its definitions)."""

    def rule(self, rule: Rule) -> list[Value]:
        """Values that one definition gives. A set or map gives its items."""
        env: dict[str, Value] = {}
        for param in rule.params:
            self._names(param)
            self.bind(param, Unknown(), env)
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
        """An argument that is missing would make the whole element vanish, so the body must ask for it first."""
        name, _ = kind(node)
        if name in ("RefDot", "RefBrack") and is_pack(self.unit) and rule.name in CONTRACT:
            self.quiet += 1
            value = self.evaluate(node, env, context)
            self.quiet -= 1
            text = self.unit.text(span_of(node))
            if isinstance(value, Free) and not any(text in self.unit.text(q.span) for q in rule.queries):
                message = f"`{text}` may be missing; then the whole element vanishes."
                hint = "Ask for it in the body first, for example is_number(...), or leave it out of the element."
                self.say(span_of(node), "element.optional", message, hint)
            return
        if name not in ("ArrayCompr", "SetCompr", "ObjectCompr"):
            for child in children(node):
                self._optional(child, rule, env, context)

    @override
    def query(self, literals: Sequence[Body], env: Env, context: Context) -> tuple[dict[str, Value], Context]:
        parsed = [literal(statement) for statement in literals]
        declared = set(self.declared(parsed))
        context = context.without(declared)
        inner = {name: value for name, value in env.items() if name not in declared}
        inner |= self.settle(parsed, inner, context)
        guards = set(context.guards)
        for name, body, _ in parsed:
            if name == "Expr":
                guards |= self.guards(body["expr"], inner, context)
        context = Context(context.negated, frozenset(guards))
        for statement, found in zip(literals, parsed, strict=True):
            self._statement(statement, found, inner, context)
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
            self._names(body["key"], body["value"])
            self.bind(body["value"], self.item(collection, span_of(body["collection"])), {})
        elif name == "SomeVars":
            for span in body["vars"]:
                self._shadow(self.unit.text(span), span)
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
        hidden = {name for name, value in inner.items() if env.get(name) is not value}
        self.query(body["query"]["stmts"], inner, context.under_not().without(hidden))

    def _names(self, *patterns: Node | None) -> None:
        for pattern in patterns:
            for variable, span in variables(pattern) if pattern is not None else ():
                self._shadow(variable, span)

    def _shadow(self, name: str, span: Body) -> None:
        taken = name in ("input", "data") or (is_pack(self.unit) and self.is_global(name))
        if taken or (is_pack(self.unit) and name in self.policy.builtins.declarations):
            self.say(span, "names.shadowed", f"`{name}` already means something else.", "Choose another name.")
