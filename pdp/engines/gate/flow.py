"""Bodies and rules: which variable holds what, in whatever order the statements stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from typing_extensions import override


from pdp.engines.gate.expressions import Expressions
from pdp.engines.gate.policy import CONTRACT, Analysis, Key, Policy, is_pack
from pdp.engines.gate.references import ASSERTED_HINT, Context, Env
from pdp.engines.gate.syntax import Body, Node, NotUnderstoodError, Rule, children, kind, literal, span_of, string
from pdp.engines.gate.value import Free, Items, Scalar, Unknown, Value, any_of, options, same, taint

_WITH_HINT = "Policy decides on the one input it is given; `with` is for tests."
_ROUNDS = 8  # statements may stand in any order; longer chains of forward references are not written by people


class Flow(Expressions):
    """Walks one rule (all its definitions)."""

    def rule(self, rule: Rule) -> list[Value]:
        """Values that one definition gives. A set or map gives its items."""
        env: dict[str, Value] = {}
        for param in rule.params:
            self._check_name_of(param)
            self._bind(param, Unknown(), env)
        if rule.kind == "default":
            return [self.evaluate(rule.value, {}, Context())] if rule.value is not None and not rule.params else []
        found: list[Value] = []
        for query in rule.queries or (None,):
            inner, context = self.query(query.literals, env, Context()) if query else (env, Context())
            for key in (rule.key, *rule.extra):
                if key is not None:
                    value = self.evaluate(key, inner, context)
                    if key is rule.key:
                        found.append(value)
                        self.analysis.heads.append((rule, value))
                        self._optional(key, rule, inner, context)
            given = query.value if query and query.value is not None else None
            given = given if given is not None else (rule.value if query is None or not query.is_else else None)
            if given is not None:
                found.append(self.evaluate(given, inner, context))
            elif rule.kind in ("complete", "function"):
                found.append(Scalar("boolean"))
        return found

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
        inner = dict(env)
        parsed = [literal(statement) for statement in literals]
        own: dict[str, Value] = {}
        declared = set(self._declared(parsed))
        for name in declared:
            inner.pop(name, None)
        context = context.without(declared)
        self.quiet += 1
        for _ in range(min(len(parsed), _ROUNDS) + 1):
            before = dict(own)
            for name, body, _ in parsed:
                self._binds(name, body, {**inner, **own}, own, context)
            if all(k in before and same(before[k], v) for k, v in own.items()):
                break
        self.quiet -= 1
        inner |= own
        guards = set(context.guards)
        for name, body, _ in parsed:
            if name == "Expr":
                guards |= self._guards(body["expr"], inner, context)
        context = Context(context.negated, frozenset(guards))
        for statement, (name, body, modifiers) in zip(literals, parsed, strict=True):
            if modifiers:
                self.lost(
                    statement["span"], "flow.with", "`with` replaces facts or rules.", _WITH_HINT, all_input=True
                )
                for modifier in modifiers:
                    self.evaluate(modifier["as"], inner, context)
            self._check(name, body, inner, context)
        return inner, context

    def _declared(self, parsed: list[tuple[str, Body, list[Body]]]) -> Iterator[str]:
        """Names that the body introduces anew, hiding outer ones."""
        for name, body, _ in parsed:
            if name == "SomeVars":
                yield from (self.unit.text(span) for span in body["vars"])
            elif name == "SomeIn":
                for pattern in (body["key"], body["value"]):
                    if pattern is not None:
                        yield from (n for n, _ in _variables(pattern))
            elif name == "Expr":
                tag, inner = kind(body["expr"])
                if tag == "AssignExpr" and inner["op"] == "ColEq":
                    yield from (n for n, _ in _variables(inner["lhs"]))

    def _binds(self, name: str, body: Body, env: Env, own: dict[str, Value], context: Context) -> None:
        if name == "SomeVars":
            for span in body["vars"]:
                own.setdefault(self.unit.text(span), Unknown())
        elif name == "SomeIn":
            collection = self.evaluate(body["collection"], env, context)
            if body["key"] is not None:
                self._bind(body["key"], taint(Scalar("any"), collection.tainted), own)
            self._bind(body["value"], self.item(collection, span_of(body["collection"])), own)
        elif name == "Expr":
            tag, inner = kind(body["expr"])
            if tag == "AssignExpr":
                self._assign(inner, env, own, context)
            elif tag == "Call" and self._has_output(inner):
                for variable, _ in _variables(inner["params"][-1]):
                    if variable not in env and variable != "_" and not self._is_global(variable):
                        own[variable] = Unknown()

    def _has_output(self, call: Body) -> bool:
        """Whether the last argument receives the result, as in walk(x, [path, value])."""
        called = self.policy.builtins.declarations.get(self.unit.text(span_of(call["fcn"])))
        return called is not None and len(call["params"]) == called.arity + 1

    def _assign(self, body: Body, env: Env, own: dict[str, Value], context: Context) -> None:
        left, right = body["lhs"], body["rhs"]
        if body["op"] == "ColEq":
            self._bind_from(left, right, env, own, context)
            return
        for one, other in ((left, right), (right, left)):
            unbound = [n for n, _ in _variables(one) if n not in env or n in own]
            known = self._resolvable(other, env)
            if unbound and known:
                self._bind_from(one, other, env, own, context, only=frozenset(unbound))

    def _resolvable(self, node: Node, env: Env) -> bool:
        return all(n in env or self._is_global(n) for n, _ in _variables(node))

    def _is_global(self, name: str) -> bool:
        groups = self.policy.groups
        return name in ("input", "data") or name in self.unit.imports or (self.unit.package, name) in groups

    def _bind_from(
        self,
        pattern: Node,
        source: Node,
        env: Env,
        own: dict[str, Value],
        context: Context,
        only: frozenset[str] | None = None,
    ) -> None:
        pattern_kind, left = kind(pattern)
        source_kind, right = kind(source)
        if pattern_kind == source_kind == "Array" and len(left["items"]) == len(right["items"]):
            for one, other in zip(left["items"], right["items"], strict=True):
                self._bind_from(one, other, env, own, context, only)
        else:
            self._bind(pattern, self.evaluate(source, env, context), own, only)

    def _bind(self, pattern: Node, value: Value, own: dict[str, Value], only: frozenset[str] | None = None) -> None:
        """Bind the variables of a pattern to the parts of `value` they stand for."""
        name, body = kind(pattern)
        if name == "Var":
            variable = str(body["value"])
            if variable != "_" and (only is None or variable in only):
                known = own.get(variable)
                fresh = known is None or isinstance(known, Unknown)
                own[variable] = value if fresh or known is None else any_of([*options(known), *options(value)])
        elif name in ("Array", "Set"):
            for item in body["items"]:
                self._bind(item, self.item(value, span_of(pattern)), own, only)
        elif name == "Object":
            for _, key, item in body["fields"]:
                text = string(key)
                part = self.step(value, key if text is None else text, span_of(key), span_of(pattern))
                self._pattern_literal(item, part)
                self._bind(item, part, own, only)

    def _pattern_literal(self, item: Node, part: Value) -> None:
        text = string(item)
        if text is not None and text != "ok" and any(getattr(o, "is_check", False) for o in options(part)):
            hint = 'Test it positively: `… .status == "ok"`.'
            self.say(span_of(item), "checks.positive", "A check's status is not tested positively.", hint)

    def _guards(self, node: Node, env: Env, context: Context) -> set[str]:
        name, body = kind(node)
        if name != "Call":
            return set()
        called = self.unit.text(span_of(body["fcn"]))
        params = body["params"]
        if called == "is_number" and len(params) == 1:
            return set(self._quietly(params[0], env, context))
        if called == "regex.match" and len(params) == 2:
            return {f"~{key}" for key in self._quietly(params[1], env, context)}
        return set()

    def _quietly(self, node: Node, env: Env, context: Context) -> frozenset[str]:
        self.quiet += 1
        value = self.evaluate(node, env, context)
        self.quiet -= 1
        return self.key_of(node, value)

    def _check(self, name: str, body: Body, env: Env, context: Context) -> None:
        if name == "Expr":
            tag, inner = kind(body["expr"])
            if tag == "AssignExpr":
                self._check_names(inner["lhs"] if inner["op"] == "ColEq" else None)
                if inner["op"] == "ColEq":
                    self._bind_from(inner["lhs"], inner["rhs"], env, {}, context)
                    return
                for one, other in ((inner["lhs"], inner["rhs"]), (inner["rhs"], inner["lhs"])):
                    if kind(one)[0] in ("Object", "Array"):
                        self._bind_from(one, other, env, {}, context)
            self.evaluate(body["expr"], env, context)
        elif name == "NotExpr":
            self.evaluate(body["expr"], env, context.under_not())
        elif name == "SomeIn":
            collection = self.evaluate(body["collection"], env, context)
            for pattern in (body["key"], body["value"]):
                self._check_names(pattern)
            self._bind(body["value"], self.item(collection, span_of(body["collection"])), {})
        elif name == "SomeVars":
            for span in body["vars"]:
                self._shadow(self.unit.text(span), span)
        elif name == "Every":
            self._every(body, env, context)
        else:
            raise NotUnderstoodError

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

    def _check_names(self, pattern: Node | None) -> None:
        if pattern is not None:
            self._check_name_of(pattern)

    def _check_name_of(self, pattern: Node) -> None:
        for variable, span in _variables(pattern):
            self._shadow(variable, span)

    def _shadow(self, name: str, span: Body) -> None:
        taken = name in ("input", "data") or (is_pack(self.unit) and self._is_global(name))
        if taken or (is_pack(self.unit) and name in self.policy.builtins.declarations):
            self.say(span, "names.shadowed", f"`{name}` already means something else.", "Choose another name.")


def _variables(node: Node) -> Iterator[tuple[str, Body]]:
    """Variables of a pattern."""
    name, body = kind(node)
    if name == "Var":
        yield str(body["value"]), body["span"]
    elif name in ("Array", "Set"):
        for item in body["items"]:
            yield from _variables(item)
    elif name == "Object":
        for _, _, item in body["fields"]:
            yield from _variables(item)


class Analyses:
    """The analysis of every rule, each walked once; a cycle is cut here and refused elsewhere."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.done: dict[Key, Analysis] = {}

    def all(self) -> Mapping[Key, Analysis]:
        for key in self.policy.groups:
            self.get(key)
        return self.done

    def get(self, key: Key) -> Analysis:
        if key in self.done:
            return self.done[key]
        analysis = self.done[key] = Analysis()
        rules = self.policy.groups[key]
        values: list[Value] = []
        for rule in rules:
            flow = Flow(self.policy, rule.unit, analysis, self.get)
            try:
                values += flow.rule(rule)
            except (NotUnderstoodError, KeyError, TypeError, ValueError):
                message = "The gate does not know this syntax."
                found = rule.unit.finding(rule.span, "syntax.unknown", message, "Write it with plainer rules.")
                analysis.findings.append(found)
        tainted = any(read.trust == "asserted" for read in analysis.reads)
        tainted = tainted or any(self.done[u.key].value.tainted for u in analysis.uses if u.key in self.done)
        value = any_of(values)
        last = rules[-1]  # a default comes first and says nothing about the kind
        if last.kind == "set":
            value = Items(value) if last.plain else Items(Items(value), keyed=True)
        elif last.kind == "map":
            value = Items(value, keyed=True)
        analysis.value = taint(value, tainted)
        turned = [r for r in rules if r.kind == "default" or any(q.is_else for q in r.queries)]
        if tainted and turned and is_pack(rules[0].unit):
            message = "A rule on asserted facts has a default or an else, so leaving the fact out has an effect."
            analysis.findings.append(
                turned[0].unit.finding(turned[0].span, "asserted.negated", message, ASSERTED_HINT)
            )
        return analysis
