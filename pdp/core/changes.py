"""What would have to be different: the smallest sets of facts whose change would allow a denied call. Pure.

The search is sans-I/O: a generator that yields documents to evaluate and is sent their outcomes. It is bounded, in
size and in evaluations, and says when it gives up.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from pdp.core.digest import Json, canonical
from pdp.core.evidence import answer
from pdp.core.outcome import Effect, Outcome

MAX_SIZE = 3
MAX_SETS = 8
CHUNK = 32  # documents that are evaluated together
HELD_NS = 3_600_000_000_000  # how long an answer or a waiver would hold
_CALL = "what-if"  # stands for the digest of a call whose checks did not pass


@dataclass(frozen=True, slots=True)
class Step:
    """One change of one fact: set it, or add an item to a list, or drop items from it. `also` are the facts that
    follow from it (path, value)."""

    how: str  # "set" | "add" | "drop"
    path: str
    value: Json
    also: tuple[tuple[str, Json], ...] = ()


@dataclass(frozen=True, slots=True)
class FactChange:
    """One changed fact, as it was and as it would allow."""

    path: str
    before: Json
    after: Json


@dataclass(frozen=True, slots=True)
class Found:
    """The smallest sets. `incomplete`: the search gave up, so a smaller or another set may exist."""

    sets: tuple[tuple[FactChange, ...], ...]
    incomplete: bool
    evaluations: int


Document = Mapping[str, Any]  # an input document that matched its schema
Search = Generator[list[dict[str, Any]], list[Outcome], Found]


def search(document: Document, base: Outcome, steps: Sequence[Step], budget: int) -> Search:
    """Look for sets of at most MAX_SIZE steps, smallest first, within `budget` evaluations.

    Yields documents, is sent their outcomes in order, returns what it found.
    """
    state = _State(document, base, budget, rest=tuple(steps))
    for size in range(1, MAX_SIZE + 1):
        for sets in _chunks(_compatible([*state.answered[size], *_sets(size, state.helpful, state.rest)])):
            room = sets[: budget - state.tried]
            if room:
                state.take(room, (yield [apply(document, chosen) for chosen in room]))
            if len(room) < len(sets):
                return state.found(incomplete=True)
        if state.allowing:
            return state.found(incomplete=len(state.allowing) > MAX_SETS)
        state.sort(size)
    return state.found(incomplete=len(steps) > MAX_SIZE or bool(state.answered[MAX_SIZE + 1]))


@dataclass(slots=True)
class _State:
    """How far a search is. `helpful` are steps that alone took a reason away: sets of them are tried first."""

    document: Document
    base: Outcome
    budget: int
    rest: tuple[Step, ...]
    helpful: tuple[Step, ...] = ()
    tried: int = 0
    allowing: list[tuple[Step, ...]] = field(default_factory=list)
    lessened: list[Step] = field(default_factory=list)
    # sets that end a wait, by size
    answered: dict[int, list[tuple[Step, ...]]] = field(
        default_factory=lambda: {size: [] for size in range(1, MAX_SIZE + 2)}
    )

    def take(self, sets: Sequence[tuple[Step, ...]], outcomes: Sequence[Outcome]) -> None:
        """The outcomes of these sets."""
        self.tried += len(sets)
        for chosen, outcome in zip(sets, outcomes, strict=True):
            if outcome.effect is Effect.ALLOW:
                self.allowing.append(chosen)
            elif outcome.effect is Effect.PENDING:
                _answer(self.document, chosen, outcome, self.answered)
            if _reasons(self.base) - _reasons(outcome):
                self.lessened.append(chosen[0])

    def sort(self, size: int) -> None:
        """After the single steps: which of them did something."""
        if size == 1:
            steps = self.rest
            self.helpful = tuple(step for step in steps if any(step is other for other in self.lessened))
            self.rest = tuple(step for step in steps if not any(step is other for other in self.lessened))

    def found(self, *, incomplete: bool) -> Found:
        return Found(_shown(self.document, self.allowing), incomplete, self.tried)


def _reasons(outcome: Outcome) -> set[tuple[str, str]]:
    return {(reason.code, reason.rule) for reason in outcome.reasons}


def _sets(size: int, helpful: Sequence[Step], rest: Sequence[Step]) -> Iterator[tuple[Step, ...]]:
    """Every set of that size; those of steps that alone took a reason away come first."""
    for others in range(size + 1):
        for chosen in combinations(helpful, size - others):
            for more in combinations(rest, others):
                yield (*chosen, *more)


def _compatible(sets: Iterable[tuple[Step, ...]]) -> Iterator[tuple[Step, ...]]:
    """Without sets that change one fact in two ways."""
    for chosen in sets:
        written = [step.path for step in chosen if step.how == "set"]
        if len(set(written)) == len(written):
            yield chosen


def _chunks(sets: Iterable[tuple[Step, ...]]) -> Iterator[list[tuple[Step, ...]]]:
    chunk: list[tuple[Step, ...]] = []
    for chosen in sets:
        chunk.append(chosen)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _answer(
    document: Document, chosen: tuple[Step, ...], outcome: Outcome, answered: dict[int, list[tuple[Step, ...]]]
) -> None:
    """A call that would wait is allowed when what it waits for is answered: that is a fact too. What only a judge
    can answer is left out: its verdict is not a fact that anybody sets."""
    if any(wanted.get("kind") == "judge" for wanted in outcome.requirements):
        return
    digest = document["call"]["digest"] or _CALL
    also = (("/call/digest", digest),)
    until = document["time"]["ns"] + HELD_NS
    steps = tuple(
        Step("add", "/evidence", dict(answer(wanted, digest, "met", until)), also) for wanted in outcome.requirements
    )
    size = min(len(chosen) + len(steps), MAX_SIZE + 1)
    answered[size].append((*chosen, *steps))


def apply(document: Document, steps: Iterable[Step]) -> dict[str, Any]:
    """The document with the steps taken. What no step touches is shared with it: nobody may change either."""
    made: Any = document
    for step in steps:
        for path, value in step.also:
            made = _with(made, _steps_of(path), value)
        new = step.value
        if step.how != "set":
            kept = [item for item in _get(made, step.path) if item != step.value]
            new = kept + ([step.value] if step.how == "add" else [])
        made = _with(made, _steps_of(step.path), new)
    return dict(made)


def _shown(document: Document, sets: Sequence[tuple[Step, ...]]) -> tuple[tuple[FactChange, ...], ...]:
    """Of sets that differ only in the value of a fact, the first: its alternatives come nearest first."""
    several = {
        canonical([[s.how, s.path, None if s.how == "set" else s.value] for s in c]): c for c in reversed(sets)
    }
    shown = []
    for chosen in [c for c in sets if any(c is first for first in several.values())][:MAX_SETS]:
        made = apply(document, chosen)
        paths = dict.fromkeys(step.path for step in chosen)
        shown.append(tuple(FactChange(path, _get(document, path), _get(made, path)) for path in paths))
    return tuple(shown)


def _steps_of(path: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _get(value: Any, path: str) -> Any:
    for part in _steps_of(path):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def _with(value: Any, path: Sequence[str], new: Json) -> Any:
    """A copy of the value with another one at the path."""
    first, *rest = path
    copied: Any = list(value) if isinstance(value, list) else dict(value)
    place: Any = int(first) if isinstance(value, list) else first
    copied[place] = _with(value[place], rest, new) if rest else new
    return copied
