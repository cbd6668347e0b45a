"""The overview of one policy over all calls: rules that never fire, grants that are always denied, rules that may err
or ask nobody; who may call what, and with whose consent.

What is said to be never the case is proved; what may be is shown by a call that the embedded engine confirms.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import or_
from typing import Any

import z3

from pdp.core.errors import EngineFault
from pdp.core.outcome.policy import Bundle
from pdp.tools.prove.elements import Element, PackElements, Reading, Rule
from pdp.tools.prove.engine import Engine, Said, example
from pdp.tools.prove.facts import Facts
from pdp.tools.prove.proof import NOT_PROVED, PROVED, WIDENS, Gap, Limits
from pdp.tools.prove.solving import Solver
from pdp.tools.prove.terms import Guard, Untranslated, Value, every, negated, some, term
from pdp.tools.prove.witnesses import Needed, Sizes

NEVER_FIRES, ALWAYS_DENIED, MAY_ERR, NOBODY = "never fires", "always denied", "may err", "nobody can answer"
NEVER, FREE, PEOPLE, UNKNOWN = "never", "free", "people", "not proved"
_OF_THE_SUBJECT = ("confirmation", "consent")
_MOST_CONSENTS = 6  # of one row of the table
_NAME, _KEY, _GROUP = "input.targets[0].name", "input.targets[0].key", "input.subject.groups["


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a rule, and where it may be seen the call that shows it."""

    kind: str
    rule: Rule
    document: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What is called: of a server, of a kind, by its name, or any that no rule names; and what its annotations say
    that it does, where that makes a difference."""

    server: str
    kind: str
    name: str | None
    does: str = ""


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller of one group (None: of none that rules name) needs for a target: the least, each way by codes."""

    answer: str
    ways: tuple[tuple[str, ...], ...] = ()


@dataclass(slots=True)
class Overview:
    """What is known of one policy."""

    bundle: Bundle
    findings: list[Finding] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    access: dict[Target, Mapping[str | None, Access]] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """As of a proof: nothing found, something found, or something that nobody knows."""
        unknown = any(access.answer == UNKNOWN for row in self.access.values() for access in row.values())
        return WIDENS if self.findings else NOT_PROVED if self.gaps or unknown else PROVED


def overview(bundle: Bundle, limits: Limits) -> Overview:
    """Look at a bundle for all facts. Raises BundleFault where it cannot be loaded."""
    until = time.process_time() + limits.seconds
    reading = Reading(bundle)
    found = Overview(reading.bundle)
    found.gaps += [
        Gap(f"{each.path}:{each.line}", f"the load gate refuses it ({each.code})") for each in reading.refused()
    ]
    if not found.gaps:
        try:
            _Look(found, reading, limits, until).run()
        except (Untranslated, RecursionError) as untranslated:
            why = getattr(untranslated, "construct", "rules that are nested too deep")
            found.gaps.append(Gap("", why))
    return found


class _Look:
    """The questions about one policy, put to the solver."""

    def __init__(self, found: Overview, reading: Reading, limits: Limits, until: float) -> None:
        self.found = found
        self.until = until
        schema = json.loads(reading.bundle.input_schema)
        shape = Facts(schema, lambda _: 1, shape=True)
        needed = Needed(limits.items)
        enough = functools.reduce(or_, map(needed.of, _formulas(reading.elements(shape), shape)), Sizes())
        if enough.lacking:
            raise Untranslated(enough.lacking)
        found.sizes = sizes = enough.items
        self.facts = Facts(schema, lambda label: sizes.get(label, 1))
        self.said = reading.elements(self.facts)
        self.permitted = every(_of_call(self.facts), self.said.permitted())
        self.groups = self.facts.member(self.facts.member(self.facts.input, "subject"), "groups").each
        self.solver = Solver(self.facts)
        self.good = example(reading.bundle)
        self.engine = Engine(reading.bundle)
        self.ours = {module.path for module in reading.bundle.modules if not module.shipped}
        waivable = [element for element in self.said.guards if element.waivable]
        unwaived = [self.said.unwaived(element) for element in waivable]
        self.calls = [each for each in (*self.facts.about_calls(), *unwaived) if each is not True]

    def run(self) -> None:
        for each in self.said.opaque:
            self.found.gaps.append(Gap(str(each.place), f"not translated: {each.construct}"))
        self._rules()
        self._failing()
        self._unanswerable()
        self._access()

    def _rules(self) -> None:
        """The organisation's rules that hold for no document, and grants whose calls are all denied."""
        for rule in self.said.rules:
            if rule.place.path not in self.ours:
                continue
            held = every(rule.guard, self.said.reach[rule.pack]) if rule.kind == "allow" else rule.guard
            if self._never(rule, (held,)):
                self.found.findings.append(Finding(NEVER_FIRES, rule))
            elif rule.kind == "allow" and self._never(rule, (*self.calls, held, self.permitted)):
                self.found.findings.append(Finding(ALWAYS_DENIED, rule))

    def _never(self, rule: Rule, formulas: Sequence[Guard]) -> bool:
        answer, _ = self._ask(formulas)
        if answer == z3.unknown:
            self.found.gaps.append(Gap(str(rule.place), "whether it can hold: no answer in time"))
        return bool(answer == z3.unsat)

    def _failing(self) -> None:
        reached = every(self.said.granted(), negated(self.said.hidden()))
        for place, guard in ((each.place, each.guard) for each in self.said.failing):
            rule = Rule(place, "", "", "", guard)
            self._shown(MAY_ERR, rule, every(guard, reached), lambda said: bool(said.error))

    def _unanswerable(self) -> None:
        """What is asked of the subject of a call that is a service, for which nobody can answer."""
        kind = self.facts.member(self.facts.member(self.facts.input, "subject"), "kind")
        for rule in self.said.rules:
            if rule.kind != "require" or rule.requirement not in _OF_THE_SUBJECT:
                continue
            asked = every(self.permitted, rule.guard, kind == term("service"))

            def pending(said: Said, code: str = rule.code) -> bool:
                return any(each.get("code") == code for each in said.decision.get("requirements", ()))

            self._shown(NOBODY, rule, asked, pending)

    def _shown(self, kind: str, rule: Rule, formula: Guard, confirms: Any) -> None:
        """A finding where a call shows it."""
        answer, model = self._ask((*self.calls, formula))
        if answer == z3.unsat:
            return
        document = self._document(model) if answer == z3.sat else None
        said = self._answer(document) if document is not None else None
        if said is not None and confirms(said):
            self.found.findings.append(Finding(kind, rule, document))
        else:
            why = "no answer in time" if document is None else "the engine does not confirm the call that was found"
            self.found.gaps.append(Gap(str(rule.place), f"{kind}: {why}"))

    # who may call what

    def _access(self) -> None:
        targets, groups = self._named(), self._groups()
        unnamed: dict[tuple[str, str], Mapping[str, Mapping[str | None, Access]]] = {}
        for target, where in targets:
            if self._ask((*self.calls, where, self.said.granted()))[0] == z3.unsat:
                continue
            rows = {
                does: {group: self._of_group(every(where, annotated), group, groups) for group in (*groups, None)}
                for does, annotated in self._annotated()
            }
            if rows != unnamed.get((target.server, target.kind)):
                self._add(target, rows)
            if target.name is None:
                unnamed[target.server, target.kind] = rows

    def _add(self, target: Target, rows: Mapping[str, Mapping[str | None, Access]]) -> None:
        first, *others = rows.values()
        if all(each == first for each in others):
            self.found.access[target] = first
        else:
            self.found.access |= {replace(target, does=does): row for does, row in rows.items()}

    def _annotated(self) -> Iterator[tuple[str, Guard]]:
        """What a target may be said to do."""
        annotations = self.facts.member(self.facts.target, "annotations")
        reads, destroys = (self.facts.member(annotations, each) for each in ("read_only", "destructive"))
        yield "reads", reads
        yield "changes", every(negated(reads), negated(destroys))
        yield "destroys", every(negated(reads), destroys)

    def _of_group(self, where: Guard, group: str | None, groups: Sequence[str]) -> Access:
        """What callers need who are of this group alone, or of none that a rule names."""
        (first, value), *others = self.groups
        if group is None:
            only = [negated(every(there, *[each == term(name)])) for there, each in self.groups for name in groups]
        else:
            only = [first, value == term(group), *[negated(there) for there, _ in others]]
        asked = (*self.calls, where, *only, self.permitted)
        required = [(element, guard) for element, guard in self.said.of("require")]
        answer, model = self._ask((*asked, *[negated(guard) for _, guard in required]))
        if answer == z3.sat:
            return Access(FREE if self._effect(model) == "allow" else UNKNOWN)
        if answer == z3.unknown:
            return Access(UNKNOWN)
        return self._with_people(asked, required)

    def _with_people(self, asked: tuple[Guard, ...], required: list[tuple[Element, Guard]]) -> Access:
        ways: list[frozenset[str]] = []
        blocked: list[Guard] = []
        for _ in range(_MOST_CONSENTS):
            answer, model = self._ask((*asked, *blocked))
            if answer == z3.unsat:
                least = {way for way in ways if not any(other < way for other in ways)}
                return Access(PEOPLE, tuple(sorted(tuple(sorted(way)) for way in least))) if ways else Access(NEVER)
            if answer == z3.unknown or self._effect(model) != "pending":
                return Access(UNKNOWN)
            held = [(element, guard) for element, guard in required if _true(model, guard)]
            ways.append(frozenset(element.code or element.content for element, _ in held))
            blocked.append(some(*[negated(guard) for _, guard in held]))
        return Access(UNKNOWN)

    def _named(self) -> list[tuple[Target, Guard]]:
        """What rules name, and before it what they do not."""
        names, keys = (sorted(_constants(self._guards(), symbol)) for symbol in (_NAME, _KEY))
        servers = sorted(_constants(self.said.reach.values(), "input.server.id"))
        server = self.facts.member(self.facts.member(self.facts.input, "server"), "id")
        kind, name = (self.facts.member(self.facts.target, each) for each in ("kind", "name"))
        found = []
        for of_server in servers:
            for of_kind in sorted(self._kinds()):
                here = every(server == term(of_server), kind == term(of_kind))
                known = {key.partition(":")[2] for key in keys if key.startswith(f"{of_kind}:")}
                known |= set(names) if of_kind == "tool" else set()
                unnamed = every(here, *[negated(name == term(each)) for each in sorted(known)])
                found.append((Target(of_server, of_kind, None), unnamed))
                found += [
                    (Target(of_server, of_kind, each), every(here, name == term(each))) for each in sorted(known)
                ]
        return found

    def _kinds(self) -> list[str]:
        properties = self.facts.input.schema["properties"]["targets"]["items"]["properties"]
        return [str(each) for each in properties["kind"]["enum"]]

    def _groups(self) -> list[str]:
        return sorted(_constants(self._guards(), _GROUP))

    def _guards(self) -> Iterator[Guard]:
        yield from self.said.guards.values()

    # the solver and the engine

    def _ask(self, formulas: Iterable[Guard]) -> tuple[Any, Any]:
        return self.solver.solve(formulas, self.until)

    def _document(self, model: Any) -> dict[str, Any]:
        return {**self.facts.document(model, self.good), "phase": "call", "waivers": []}

    def _answer(self, document: Mapping[str, Any]) -> Said | None:
        try:
            return self.engine.ask(document)
        except EngineFault:
            return None

    def _effect(self, model: Any) -> str:
        said = self._answer(self._document(model))
        return said.effect if said is not None and not said.error else ""


def _of_call(facts: Facts) -> Guard:
    return facts.member(facts.member(facts.input, "result"), "status") == term("missing")


def _formulas(said: PackElements, shape: Facts) -> Iterator[Guard]:
    """All that is asked, for the number of items that it needs."""
    groups: Value = shape.member(shape.member(shape.input, "subject"), "groups")
    permitted = every(_of_call(shape), said.permitted(), *[there for there, _ in groups.each])
    required = [guard for _, guard in said.of("require")]
    yield from (rule.guard for rule in said.rules)
    yield from (every(said.granted(), negated(said.hidden()), each.guard) for each in said.failing)
    yield from (every(permitted, guard) for guard in (*required, *[rule.guard for rule in said.rules]))
    yield every(permitted, *[negated(guard) for guard in required])
    # any that is left out of what people are asked for may be negated
    yield every(permitted, *[z3.Xor(guard, z3.Bool(f"asked:{n}")) for n, guard in enumerate(required)])


def _true(model: Any, guard: Guard) -> bool:
    return guard if isinstance(guard, bool) else z3.is_true(model.eval(guard, model_completion=True))


def _constants(guards: Iterable[Guard], symbol: str) -> set[str]:
    """The texts that formulas compare a symbol with; of a list's items by the beginning of their names."""
    found: set[str] = set()
    seen: set[int] = set()
    left = [guard for guard in guards if not isinstance(guard, bool)]
    while left:
        formula = left.pop()
        if formula.get_id() in seen:
            continue
        seen.add(formula.get_id())
        sides = formula.children()
        if z3.is_eq(formula):
            for one, other in (sides, reversed(sides)):
                named = z3.is_const(one) and str(one).startswith(symbol)
                if named and z3.is_string_value(other) and (symbol.endswith("[") or str(one) == symbol):
                    found.add(other.as_string())
        left += sides
    return found
