"""Origins of argument values: where a value of a call was seen before the agent used it.

Positive only: a value is traced by where it stands, never by where it was not found. Atoms are what is compared. A
text that traces (the vouched task, a result of the own tools) is read strictly: a value must stand in it as it
is used (`phrases`). A text that untraces (what others may write, what the agent supplied) is read loosely, so
that no spelling hides a value (`loose_words`, `pieces`).

Two rules keep a traced value honest. T: a value that the agent supplied before one of the user's own tools returned
it is not traced by the echo. X: a value that an untrusted result holds as well is untrusted. An origin never says
that the user wanted the call. Facts and attackers: docs/origins.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache

from pdp.core import json_pointer
from pdp.core.digest import Json

TASK, OWN, EXTERNAL, NONE = "task", "own", "external", "none"  # from best to worst
ORIGINS = (TASK, OWN, EXTERNAL, NONE)
SUPPLIED = "supplied"  # a kind of atom, no origin: what the agent said first
EMPTY = "empty"  # of a sink, no origin: the call puts nothing into it
VOUCHED = ("subject_signed", "caller")  # sources of a task statement
UNTRUSTED = "untrusted"  # the label of a tool whose results others may write
MAX_VALUES = 64  # binding values of one call; a call with more is not traced
MAX_ATOMS = 4096  # of one text
MAX_TEXT = 262_144  # characters of one text that are read
_WORDS = 12  # of the longest value that is looked for
_PARTS = 4  # of a value that is put together from words
_EDGE = "\"'`()[]{}<>,;:!?.*_|=$€£\\\u2026\u2018\u2019\u201c\u201d\u00ab\u00bb"
_AFTER = ",;:!?"
_INNER = re.compile(r"[\"'`()\[\]{}<>,;=|\u2018-\u201f\u00ab\u00bb]+")
_ESCAPE = re.compile(r"\\[ntr]")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,18})?", re.ASCII)
_THOUSANDS = re.compile(r"-?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d{1,18})?", re.ASCII)
_SPELLED = re.compile(r"(?<!\S)\S(?:\s\S){2,}(?!\S)")
_LOOSE = re.compile(r"[^\W_]+")
_DIGIT = re.compile(r"\d")
_NOTHING: tuple[Json, ...] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class ValueOrigin:
    """The origin of one binding value. `pointer` is a JSON Pointer (RFC 6901) into the arguments; the value itself is
    never kept. `decision` is of the record that it was first seen with, for an explanation; empty where there is
    none."""

    pointer: str
    origin: str = NONE
    decision: str = ""

    def fact(self) -> dict[str, Json]:
        return {"pointer": self.pointer, "origin": self.origin}


@dataclass(frozen=True, slots=True)
class OriginsFact:
    """The origins of the binding values of one call, and of what goes into each sink of its tool: the worst of all
    texts and numbers there, binding or not, or `EMPTY`. The default is the worst: nothing is known of any value."""

    traced: bool = False  # every binding value is among `values`
    values: tuple[ValueOrigin, ...] = ()
    sinks: tuple[ValueOrigin, ...] = ()  # by the argument of the sink

    def fact(self) -> dict[str, Json]:
        values, sinks = (self.values, self.sinks) if self.traced else ((), ())
        return {
            "traced": self.traced,
            "values": [value.fact() for value in values],
            "sinks": [sink.fact() for sink in sinks],
        }


@dataclass(frozen=True, slots=True)
class Atoms:
    """The atoms of one text, of one kind (`OWN`, `EXTERNAL`, `SUPPLIED`). `whole` is False where the text has more
    than its bound."""

    kind: str
    atoms: frozenset[str]
    whole: bool = True

    @property
    def overflows(self) -> bool:
        """Whether something that untraces is missing: then nothing but the task traces any value."""
        return not self.whole and self.kind != OWN


def binding_values(arguments: Json, binds: Sequence[str] | None) -> tuple[tuple[str, str], ...] | None:
    """The texts and numbers that bind, with their JSON Pointers: below the pointers `binds`, all where that is None.
    None for more than `MAX_VALUES`."""
    found: list[tuple[str, str]] = []
    for pointer, value in _scalars(arguments, ""):
        if binds is None or any(json_pointer.within(pointer, each) for each in binds):
            found.append((pointer, value))
            if len(found) > MAX_VALUES:
                return None
    return tuple(found)


def of_result(result: Json, labels: Sequence[str]) -> Atoms:
    """The atoms of a tool's result. `labels` are those of its tool, the worst where nobody reviewed it: with
    `UNTRUSTED` others may have written it. A result may be a text or JSON."""
    text, cut = _joined(each for _, each in _scalars(result, "", names=True))
    if UNTRUSTED in labels:
        return _bounded(EXTERNAL, loose_words(text), cut)
    return _bounded(OWN, phrases(text), cut)


def of_arguments(arguments: Json, traced: frozenset[str] = frozenset()) -> Atoms:
    """The atoms of what the agent supplied with a call, but for the pointers `traced`: those values were the task's
    or the user's own before."""
    text, cut = _joined(each for pointer, each in _scalars(arguments, "", names=True) if pointer not in traced)
    return _bounded(SUPPLIED, pieces(text), cut)


class StatedTask:
    """A task statement that somebody else than the agent vouches for. Holds its phrases, of any length."""

    __slots__ = ("_text", "_words")

    def __init__(self, task: str) -> None:
        text = task[:MAX_TEXT]
        self._text = f" {' '.join(_words(text))} "
        self._words = frozenset(phrases(text, 1))

    def __contains__(self, atom: object) -> bool:
        return atom in self._words or (isinstance(atom, str) and bool(atom) and f" {atom} " in self._text)


@lru_cache(256)  # a task comes with each of its calls
def of_task(task: str) -> StatedTask:
    """The statement, read."""
    return StatedTask(task)


def vouched_task(task: str | None, source: str) -> Container[str]:
    """The task that somebody else than the agent vouches for; empty without one."""
    return of_task(task) if task and source in VOUCHED else ()


def traced(
    arguments: Json,
    binds: Sequence[str] | None,
    sinks: Iterable[str],
    task: Container[str],
    held: Mapping[tuple[str, str], str],
) -> OriginsFact:
    """The origins of a call's values: `sinks` are the arguments of those of its tool, `task` is empty where nobody
    vouches for one, `held` what the store has of what is `needed`, with the decision that it came with."""
    made = origins_of(arguments, binds, sinks, task, lambda *asked: asked in held)
    texts = dict(binding_values(arguments, binds) or ())
    values = (replace(v, decision=_decision(texts[v.pointer], v.origin, held)) for v in made.values)
    return replace(made, values=tuple(values))


def origins_of(
    arguments: Json, binds: Sequence[str] | None, sinks: Iterable[str], task: Container[str], held: Held
) -> OriginsFact:
    """The same without decisions."""
    values = binding_values(arguments, binds)
    if values is None:
        return OriginsFact()
    return OriginsFact(
        True,
        tuple(ValueOrigin(at, origin_of(value, task, held)) for at, value in values),
        tuple(ValueOrigin(sink, _sink_origin(arguments, sink, task, held)) for sink in dict.fromkeys(sinks)),
    )


def _sink_origin(arguments: Json, sink: str, task: Container[str], held: Held) -> str:
    """The worst origin of what stands in the argument of a sink. A tool may send without being given anything, so a
    sink without an argument is never empty; nor is one that is given a switch (true), or a member that nobody checked
    against the tool's schema."""
    name = json_pointer.name_of(sink[1:])
    if sink and "/" not in sink[1:] and isinstance(arguments, Mapping) and arguments.get(name) in _NOTHING:
        return EMPTY
    values = binding_values(arguments, (sink,))
    return max((origin_of(value, task, held) for _, value in values or ()), key=ORIGINS.index, default=NONE)


def _decision(value: str, origin: str, held: Mapping[tuple[str, str], str]) -> str:
    """The decision that a value was first seen with; of an external one that after which all of its words were."""
    if origin == EXTERNAL:
        return max((held.get((EXTERNAL, _loose(word)), "") for word in _words(value)), default="")
    return held.get((OWN, literal(value)), "") if origin == OWN else ""


Held = Callable[[str, str], bool]  # (kind, atom): whether it was seen


def origin_of(value: str, task: Container[str], held: Held) -> str:
    """The origin of one value. A value that is put together from a few words with a digit each, as an instant from a
    date and a time, comes from where the worst of them does."""
    if (whole := _origin(value, task, held)) in (TASK, OWN):
        return whole
    parts = literal(value).split()
    if 1 < len(parts) <= _PARTS and all(map(_DIGIT.search, parts)):
        return max((_origin(part, task, held) for part in parts), key=ORIGINS.index)
    return whole


def needed(value: str) -> frozenset[tuple[str, str]]:
    """Every (kind, atom) that `origin_of` may ask about this value."""
    words = literal(value).split()
    if len(words) > _WORDS:
        return frozenset()
    asked: set[tuple[str, str]] = set()
    for part in {value, *(words if len(words) <= _PARTS else ())}:
        asked.add((OWN, literal(part)))
        asked.update((EXTERNAL, _loose(word)) for word in _words(part))
        asked.update((SUPPLIED, piece) for piece in _LOOSE.findall(_folded(part)))
    return frozenset(asked)


def _origin(value: str, task: Container[str], held: Held) -> str:
    atom = literal(value)
    if atom in task:
        return TASK
    if not _LOOSE.search(atom) or len(atom.split()) > _WORDS:
        return NONE
    if all(held(EXTERNAL, _loose(word)) for word in _words(value)):  # X
        return EXTERNAL
    if all(held(SUPPLIED, piece) for piece in _LOOSE.findall(_folded(value))):  # T
        return NONE
    return OWN if held(OWN, atom) else NONE


def literal(text: str) -> str:
    """A value as it is compared with phrases: its words with one blank between. Marks before a word stay, `../x` is
    not `/x`; so do those after it that may be part of it."""
    return " ".join(_number(word.rstrip(_AFTER)) for word in _folded(text).split())


def phrases(text: str, longest: int = 6) -> Iterator[str]:
    """Words, what stands between the marks within them, and sequences of up to `longest` words; the short ones
    first."""
    words = list(_words(text))
    yield from words
    for word in _ESCAPE.sub(" ", _folded(text)).split():
        yield _number(word)
        yield from filter(None, (_word(part) for part in _INNER.split(word)))
    for length in range(2, longest + 1):
        for start in range(len(words) - length + 1):
            yield " ".join(words[start : start + length])


def loose_words(text: str) -> Iterator[str]:
    """Words without anything but letters and digits, whole and as the marks within them divide them; a word that is
    spelled is itself, too."""
    for word in _words(_with_spelled(text)):
        yield _loose(word)
        yield from filter(None, map(_loose, _INNER.split(word)))


def pieces(text: str) -> Iterator[str]:
    """Runs of letters and digits, and all that stands in what is spelled: nobody tells where a spelled word ends."""
    folded = _folded(text)
    yield from _LOOSE.findall(folded)
    for run in _SPELLED.findall(folded):
        spelled = _loose(run)
        for start in range(len(spelled)):
            yield from (spelled[start:end] for end in range(start + 2, len(spelled) + 1))


@dataclass(slots=True)
class SeenAtoms:
    """What a (subject, agent) has seen, in memory: for replays of sessions. A decision keeps keyed hashes instead."""

    atoms: dict[str, set[str]] = field(default_factory=dict)
    overflown: bool = False  # something that untraces was too long to keep, so no own result traces

    def add(self, seen: Atoms) -> None:
        self.atoms.setdefault(seen.kind, set()).update(seen.atoms)
        self.overflown |= seen.overflows

    def held(self, kind: str, atom: str) -> bool:
        return atom in self.atoms.get(kind, ()) and not (kind == OWN and self.overflown)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _loose(word: str) -> str:
    return "".join(_LOOSE.findall(word))


def _with_spelled(text: str) -> str:
    """A text, and what it spells: characters with a blank between."""
    return "\n".join((text, *("".join(run.split()) for run in _SPELLED.findall(text))))


def _words(text: str) -> Iterator[str]:
    return filter(None, map(_word, _ESCAPE.sub(" ", _folded(text)).split()))


def _word(chunk: str) -> str:
    """A word without marks at its ends."""
    word = chunk.strip(_EDGE)
    return _number(word.removesuffix("'s").removesuffix("\u2019s")) if _LOOSE.search(word) else ""


def _number(word: str) -> str:
    """A number in one spelling, any other word as it is."""
    plain = word.replace(",", "") if _THOUSANDS.fullmatch(word) else word
    return plain.rstrip("0").rstrip(".") if _NUMBER.fullmatch(plain) and "." in plain else plain


def _scalars(  # noqa: C901 - one case for each type of JSON
    value: Json, pointer: str, *, names: bool = False
) -> Iterator[tuple[str, str]]:
    """Texts and numbers, as texts, with their pointers; with `names` also those of members, with the pointer of
    nothing."""
    if isinstance(value, str):
        if value:
            yield pointer, value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield pointer, f"{Decimal(str(value)):f}"
    elif isinstance(value, Mapping):
        for name, member in value.items():
            if names:
                yield "/", name
            yield from _scalars(member, f"{pointer}/{json_pointer.step(name)}", names=names)
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            yield from _scalars(member, f"{pointer}/{index}", names=names)


def _joined(texts: Iterable[str]) -> tuple[str, bool]:
    """One text of all, and whether it was cut."""
    text = "\n".join(texts)
    return text[:MAX_TEXT], len(text) > MAX_TEXT


def _bounded(kind: str, found: Iterator[str], cut: bool) -> Atoms:
    kept: set[str] = set()
    for atom in found:
        if len(kept) >= MAX_ATOMS and atom not in kept:
            return Atoms(kind, frozenset(kept), whole=False)
        kept.add(atom)
    return Atoms(kind, frozenset(kept), whole=not cut)
