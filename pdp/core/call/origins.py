"""Origins of argument values: where a value of a call was seen before the agent used it.

Positive only: a value is traced by where it stands, never by where it was not found. Atoms are what is compared. A
text that traces (the vouched task, a result of the own tools) is read verbatim: a value must stand in it as it
is used (`verbatim`). A text that untraces (what others may write, what the agent supplied) is read loosely, so
that no spelling hides a value (`loose_words`, `tokenize_spelled`).

Three rules keep a traced value honest. A: a result of the own tools traces only where all that its call was given is
the task's or the user's own, since a tool may return in other words what it was given. T: a value that the agent
supplied before one of the user's own tools returned it is not traced by the echo. X: a value that an untrusted
result holds as well is untrusted. An origin never says that the user wanted the call. Facts, attackers:
docs/origins.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice

from pdp.core.bytes import json_pointer
from pdp.core.bytes.digest import Json
from pdp.core.text.verbatim import MAX_TEXT, Scalar, atom, atoms, number_in, text_of

TASK, OWN, EXTERNAL, NONE = "task", "own", "external", "none"  # from best to worst
ORIGINS = (TASK, OWN, EXTERNAL, NONE)
SUPPLIED = "supplied"  # a kind of atom, no origin: what the agent said first
EMPTY = "empty"  # of a sink, no origin: the call puts nothing into it
UNTRUSTED = "untrusted"  # the label of a tool whose results others may write
MAX_VALUES = 64  # binding values of one call; a call with more is not traced
MAX_ATOMS = 4096  # of one text
_WORDS = 12  # of the longest value that is looked for
_PHRASE = 6  # words of a phrase of an own result
_EDGE = "\"'`()[]{}<>,;:!?.*_|=$€£\\\u2026\u2018\u2019\u201c\u201d\u00ab\u00bb"
_INNER = re.compile(r"[\"'`()\[\]{}<>,;=|\u2018-\u201f\u00ab\u00bb]+")
_ESCAPE = re.compile(r"\\[ntr]")
_SPELLED = re.compile(r"(?<!\S)\S(?:\s\S){2,}(?!\S)")
_LOOSE = re.compile(r"[^\W_]+")
IsKnown = Callable[[str, str], bool]  # (kind, atom): whether it was seen
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


def binding_values(arguments: Json, binds: Sequence[str] | None) -> tuple[tuple[str, Scalar], ...] | None:
    """The texts and numbers that bind, with their JSON Pointers: below the pointers `binds`, all where that is None.
    None for more than `MAX_VALUES`."""
    binding: list[tuple[str, Scalar]] = []
    for pointer, value in _scalars(arguments, ""):
        if binds is None or any(json_pointer.within(pointer, each) for each in binds):
            binding.append((pointer, value))
            if len(binding) > MAX_VALUES:
                return None
    return tuple(binding)


def call_values(arguments: Json) -> tuple[Scalar, ...] | None:
    """What an agent may have put into a call: texts, numbers, and names of inner members, which a schema may leave
    open. None for more than `MAX_VALUES`."""
    members = arguments.values() if isinstance(arguments, Mapping) else (arguments,)
    values = [value for member in members for _, value in islice(_scalars(member, "", names=True), MAX_VALUES + 1)]
    return tuple(values) if len(values) <= MAX_VALUES else None


def leads(values: Iterable[Scalar] | None, task: Container[Scalar], known: IsKnown) -> bool:
    """Whether the agent may have led a call's result: something that it was given is neither the task's nor the
    user's own (A)."""
    return values is None or any(origin_of(value, task, known) not in (TASK, OWN) for value in values)


def of_result(result: Json, labels: Sequence[str]) -> Atoms:
    """The atoms of a tool's result. `labels` are those of its tool, the worst where nobody reviewed it: with
    `UNTRUSTED` others may have written it. A result may be a text or JSON."""
    texts, cut = _cut(text_of(each) for _, each in _scalars(result, "", names=True))
    if UNTRUSTED in labels:
        return _bounded(EXTERNAL, loose_words("\n".join(texts)), cut)
    return _bounded(OWN, atoms(texts, _PHRASE), cut)


def of_arguments(arguments: Json, traced: frozenset[str] = frozenset()) -> Atoms:
    """The atoms of what the agent supplied with a call, but for the pointers `traced`: those values were the task's
    or the user's own before."""
    said = (text_of(each) for pointer, each in _scalars(arguments, "", names=True) if pointer not in traced)
    texts, cut = _cut(said)
    return _bounded(SUPPLIED, tokenize_spelled("\n".join(texts)), cut)


def traced(
    arguments: Json,
    binds: Sequence[str] | None,
    sinks: Iterable[str],
    task: Container[Scalar],
    known: Mapping[tuple[str, str], str],
) -> OriginsFact:
    """The origins of a call's values: `sinks` are the arguments of those of its tool, `task` is empty where nobody
    vouches for one, `known` what the store has of what is `needed`, with the decision that it came with."""
    made = origins_of(arguments, binds, sinks, task, lambda *asked: asked in known)
    texts = dict(binding_values(arguments, binds) or ())
    values = (replace(v, decision=_decision(texts[v.pointer], v.origin, known)) for v in made.values)
    return replace(made, values=tuple(values))


def origins_of(
    arguments: Json, binds: Sequence[str] | None, sinks: Iterable[str], task: Container[Scalar], known: IsKnown
) -> OriginsFact:
    """The same without decisions."""
    values = binding_values(arguments, binds)
    if values is None:
        return OriginsFact()
    return OriginsFact(
        True,
        tuple(ValueOrigin(at, origin_of(value, task, known)) for at, value in values),
        tuple(ValueOrigin(sink, _sink_origin(arguments, sink, task, known)) for sink in dict.fromkeys(sinks)),
    )


def _sink_origin(arguments: Json, sink: str, task: Container[Scalar], known: IsKnown) -> str:
    """The worst origin of what stands in the argument of a sink. A tool may send without being given anything, so a
    sink without an argument is never empty; nor is one that is given a switch (true), or a member that nobody checked
    against the tool's schema."""
    name = json_pointer.name_of(sink[1:])
    if sink and "/" not in sink[1:] and isinstance(arguments, Mapping) and arguments.get(name) in _NOTHING:
        return EMPTY
    values = binding_values(arguments, (sink,))
    return max((origin_of(value, task, known) for _, value in values or ()), key=ORIGINS.index, default=NONE)


def _decision(value: Scalar, origin: str, known: Mapping[tuple[str, str], str]) -> str:
    """The decision that a value was first seen with; of an external one that after which all of its words were."""
    if origin == EXTERNAL:
        return max((known.get((EXTERNAL, _loose(word)), "") for word in _words(text_of(value))), default="")
    return known.get((OWN, atom(value)), "") if origin == OWN else ""


def origin_of(value: Scalar, task: Container[Scalar], known: IsKnown) -> str:
    """The origin of one value."""
    if value in task:
        return TASK
    text = text_of(value)
    words = list(_words(text))
    if not words or len(words) > _WORDS:
        return NONE
    if all(_is_external(word, known) for word in words):  # X
        return EXTERNAL
    if all(known(SUPPLIED, piece) for piece in _tokenized(text)):  # T
        return NONE
    return OWN if known(OWN, atom(value)) else NONE


def supplied_by(value: Scalar, first: Callable[[str, str], str]) -> str:
    """The decision by which the agent had supplied all of a value; empty where it had not. `first`: of a (kind, atom)
    the decision that it came with, by age."""
    instants = [first(SUPPLIED, piece) for piece in _tokenized(text_of(value))]
    return max(instants) if instants and all(instants) else ""


def _is_external(word: str, known: IsKnown) -> bool:
    return known(EXTERNAL, _loose(word)) or all(known(EXTERNAL, part) for part in _divided(word))


def needed(value: Scalar) -> frozenset[tuple[str, str]]:
    """Every (kind, atom) that `origin_of` may ask about this value."""
    text = text_of(value)
    words = list(_words(text))
    if len(words) > _WORDS:
        return frozenset()
    loose = {each for word in words for each in (_loose(word), *_divided(word))}
    untraces = (*((EXTERNAL, each) for each in loose), *((SUPPLIED, piece) for piece in _tokenized(text)))
    return frozenset({(OWN, atom(value)), *untraces})


def loose_words(text: str) -> Iterator[str]:
    """Words without anything but letters and digits, whole and as the marks within them divide them; a word that is
    spelled is itself, too."""
    for word in _words(_with_spelled(text)):
        yield _loose(word)
        yield from _divided(word)


def tokenize_spelled(text: str) -> Iterator[str]:
    """Runs of letters and digits, of numbers in one spelling too, and all that stands in what is spelled: nobody
    tells where a spelled word ends."""
    folded = _folded(text)
    yield from _LOOSE.findall(folded)
    for word in _words(text):
        yield from _LOOSE.findall(word)
    for run in _SPELLED.findall(folded):
        spelled = _loose(run)
        for start in range(len(spelled)):
            yield from (spelled[start:end] for end in range(start + 2, len(spelled) + 1))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _tokenized(value: str) -> list[str]:
    return _LOOSE.findall(_folded(value))


def _loose(word: str) -> str:
    return "".join(_LOOSE.findall(word))


def _divided(word: str) -> list[str]:
    """The parts of a word between the marks within it; one at least."""
    return [part for part in map(_loose, _INNER.split(word)) if part]


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
    number = number_in(word)
    return word if number is None else text_of(number)


def _scalars(  # noqa: C901 - one case for each type of JSON
    value: Json, pointer: str, *, names: bool = False
) -> Iterator[tuple[str, Scalar]]:
    """Texts and numbers with their pointers; with `names` also those of members, with the pointer of
    nothing."""
    if isinstance(value, str):
        if value:
            yield pointer, value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield pointer, Decimal(str(value))
    elif isinstance(value, Mapping):
        for name, member in value.items():
            if names:
                yield "/", name
            yield from _scalars(member, f"{pointer}/{json_pointer.step(name)}", names=names)
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            yield from _scalars(member, f"{pointer}/{index}", names=names)


def _cut(texts: Iterable[str]) -> tuple[list[str], bool]:
    """As many texts as are read, and whether that leaves something out."""
    kept, left = [], MAX_TEXT
    for text in texts:
        kept.append(text[:left])
        left -= len(text) + 1
        if left < 0:
            return kept, True
    return kept, False


def _bounded(kind: str, found: Iterator[str], cut: bool) -> Atoms:
    kept: set[str] = set()
    for each in found:
        if len(kept) >= MAX_ATOMS and each not in kept:
            return Atoms(kind, frozenset(kept), whole=False)
        kept.add(each)
    return Atoms(kind, frozenset(kept), whole=not cut)
