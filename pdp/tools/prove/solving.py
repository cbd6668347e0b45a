"""The solver: texts are names to it where they can be (`texts`), which answers many times sooner. Where they cannot,
a question is put to a new one, which simplifies it as a whole."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import z3

from pdp.tools.prove.facts import Facts
from pdp.tools.prove.sayings import Composed
from pdp.tools.prove.terms import Guard
from pdp.tools.prove.texts import Names

PATIENCE = 2  # times as long by the clock as of processor time: on a busy machine the same question takes longer
_ROUNDS = 4  # of what atoms about two texts may be about
_EXACT_SECONDS = 4.0  # where texts cannot be names
_STEP_SECONDS = 1.0  # for one step towards a nearer model


class Model:
    """A model of formulas, with the values of what the solver had as names."""

    def __init__(self, model: Any, values: Sequence[tuple[Any, Any]] = ()) -> None:
        self._model = model
        self._values = values

    def eval(self, value: Any, *, model_completion: bool = False) -> Any:
        """The value of a term."""
        known = z3.substitute(value, *self._values) if self._values else value
        return self._model.eval(known, model_completion=model_completion)


class Solver:
    """Questions about documents that the schema permits, over the symbols of one proof."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._names = Names(facts.key)
        self._solver = z3.Solver()  # with what holds of names whatever is asked
        self._told: dict[int, Any] = {}

    def solve(self, formulas: Iterable[Guard], until: float) -> tuple[Any, Model | None]:
        """Whether formulas can hold together, and a model of it; `unknown` after `until`, in processor time."""
        asked = [each for each in formulas if each is not True]
        if any(each is False for each in asked):
            return z3.unsat, None
        if time.process_time() > until:
            return z3.unknown, None
        given = [*self._facts.axioms, *self._facts.about_sizes()]
        try:
            self._tell({each.get_id(): each for each in given})
            return self._by_names(self._names.of(asked), until)
        except Composed:
            until = min(until, time.process_time() + _EXACT_SECONDS)
            solver = z3.Solver()
            solver.add(*asked, *given, *self._facts.about_key())
            answer = _checked(solver, until)
            return answer, Model(solver.model()) if answer == z3.sat else None

    def _tell(self, given: Mapping[int, Any]) -> None:
        """Tell the solver what holds of documents."""
        new = {key: each for key, each in given.items() if key not in self._told}
        if new:
            self._solver.add(*self._names.of(new.values()))
            self._told |= new

    def _by_names(self, named: Sequence[Guard], until: float) -> tuple[Any, Model | None]:
        """The same of names. Raises Composed."""
        for _ in range(_ROUNDS):
            narrow = self._names.narrow()
            answer, model = self._of_texts([*named, *narrow], until)
            if answer == z3.sat or not narrow:
                return answer, model
            answer, found = self._asked(named, until)
            if answer != z3.sat:
                return answer, None
            self._names.widen(found, until)
        raise Composed

    def _of_texts(self, named: Sequence[Guard], until: float) -> tuple[Any, Model | None]:
        """A model of names of which texts are such."""
        while True:
            answer, found = self._asked(named, until)
            if answer != z3.sat:
                return answer, None
            values, possible = self._names.texts(found, until)
            if possible:
                return answer, Model(found, values)

    def _asked(self, named: Sequence[Guard], until: float) -> tuple[Any, Any]:
        self._solver.add(*self._names.news())
        self._solver.push()
        self._solver.add(*named)
        answer = _checked(self._solver, until)
        found = self._solver.model() if answer == z3.sat else None
        self._solver.pop()
        return answer, found

    def nearest(
        self, formulas: Sequence[Guard], wanted: Sequence[Any], until: float, model: Model | None = None
    ) -> Model | None:
        """A model of formulas for which as many wanted equations hold as can be, the first ones sooner; None where
        there is none, or none is found in time. `model` is one that is known."""
        if model is None:
            model = self.solve(formulas, until)[1]
        kept: list[Any] = []
        parts = [list(wanted)]
        while model is not None and parts and time.process_time() < until:
            part = parts.pop()
            if all(z3.is_true(model.eval(each, model_completion=True)) for each in part):
                kept += part
                continue
            answer, nearer = self.solve((*formulas, *kept, *part), min(until, time.process_time() + _STEP_SECONDS))
            if answer == z3.sat:
                model = nearer
                kept += part
            elif len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
        return model


def _checked(solver: Any, until: float) -> Any:
    left = until - time.process_time()
    solver.set("timeout", max(1, int(left * 1000 * PATIENCE)))
    return solver.check() if left > 0 else z3.unknown
