"""Builtins as symbols: exactly where Z3 has the like, or as a function of which nothing else is known.

Such a function is one for both policies, and a builtin answers alike for like arguments; so what is proved holds
whatever it does. A builtin that may end in an error, or has another form here, is not translated.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Protocol

import z3

from pdp.tools.prove import regexes
from pdp.tools.prove.facts import Applied, Facts
from pdp.tools.prove.terms import (
    ARRAY,
    BOOLEAN,
    NULL,
    NUMBER,
    OBJECT,
    SET,
    TEXT,
    Alternatives,
    Comparison,
    Counted,
    Gathered,
    Guard,
    Items,
    Keyed,
    Split,
    Unknown,
    Untranslated,
    Value,
    every,
    gathered,
    identity,
    is_concrete,
    is_term,
    items_of,
    negated,
    of_type,
    some,
    term,
)

_TYPES = {
    "is_number": NUMBER, "is_string": TEXT, "is_boolean": BOOLEAN, "is_null": NULL, "is_array": ARRAY,
    "is_object": OBJECT, "is_set": SET,
}  # fmt: skip
# builtins of texts that always have a value: texts in, a text out
_OF_TEXTS = {
    "lower": 1, "upper": 1, "trim": 2, "trim_left": 2, "trim_right": 2, "trim_space": 1, "replace": 3,
    "base64.encode": 1, "hex.encode": 1, "base64url.encode": 1,
    "base64url.encode_no_pad": 1,
}  # fmt: skip
_TESTS: dict[str, Callable[[Any, Any], Any]] = {
    "startswith": lambda text, part: z3.PrefixOf(part, text),
    "endswith": lambda text, part: z3.SuffixOf(part, text),
    "contains": z3.Contains,
}
_TEXT = z3.StringSort()


class Fails(Protocol):
    """Who is told where a builtin ends in an error, or where it is `unclear` what engines do."""

    def __call__(self, guard: Guard, *, unclear: bool = False) -> None: ...


class Builtins:
    """The builtins over one set of comparisons. `fails` is told when one may end in an error."""

    def __init__(self, comparison: Comparison, applied: dict[int, Applied], fails: Fails) -> None:
        self._comparison = comparison
        self._applied = applied
        self._fails = fails

    def call(self, name: str, arguments: Sequence[Value]) -> Alternatives:
        """The values of a call. Raises Untranslated."""
        if name == "count" and isinstance(arguments[0], Unknown):
            return list(self._unknown_count(arguments[0]))
        return [self._one(name, arguments)]

    def _one(self, name: str, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        """The value of a call that has one, and when."""
        if name in _TYPES:
            return True, of_type(arguments[0], _TYPES[name])
        if name == "count":
            return self._count(arguments[0])
        if name in _TESTS:
            return self._test(_TESTS[name], arguments)
        if name in _OF_TEXTS and len(arguments) == _OF_TEXTS[name]:
            return self._of_texts(name, arguments)
        form = self._FORMS.get(name)
        if form is None:
            raise Untranslated(f"the builtin {name}")
        return form(self, arguments)

    def _text(self, value: Value) -> tuple[Guard, Any]:
        """A value read as a text; anything else is an error of the builtin."""
        if isinstance(value, Unknown):
            self._fails(value.tag != TEXT)
            return value.tag == TEXT, value.text
        if isinstance(value, str) or (is_term(value) and value.sort() == _TEXT):
            return True, term(value)
        raise Untranslated("a builtin of texts with what is no text")

    def _texts(self, values: Sequence[Value]) -> tuple[Guard, list[Any]]:
        read = [self._text(value) for value in values]
        return every(*[guard for guard, _ in read]), [text for _, text in read]

    def _test(self, test: Callable[[Any, Any], Any], arguments: Sequence[Value]) -> tuple[Guard, Value]:
        there, (text, part) = self._texts(arguments)
        return there, test(text, part)

    def _of_texts(self, name: str, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        there, texts = self._texts(arguments)
        given = ", ".join(f"input[{number}]" for number in range(len(texts)))
        return there, self._application(f"{name}({given})", *texts)

    def _application(self, expression: str, *arguments: Any, sort: Any = _TEXT) -> Any:
        """The value of an expression over texts and numbers, in terms."""
        function = z3.Function(f"builtin {expression}", *[each.sort() for each in arguments], sort)
        value = function(*arguments)
        self._applied[value.get_id()] = Applied(expression, arguments, value)
        return value

    def _unknown_count(self, value: Unknown) -> Iterator[tuple[Guard, Value]]:
        counted = {ARRAY, TEXT, OBJECT} & value.kinds
        self._fails(negated(some(*[value.tag == kind for kind in counted])))
        self._fails(value.tag == OBJECT, unclear=True)  # an object has members without names here
        if ARRAY in counted:
            yield value.tag == ARRAY, Counted(tuple(guard for guard, _ in items_of(value)))
        if TEXT in counted:
            yield value.tag == TEXT, z3.Length(value.text)

    def _count(self, value: Value) -> tuple[Guard, Value]:
        if isinstance(value, Gathered | Items):
            pairs = value.each
            if isinstance(value, Items) or value.ordered or self._comparison.shape:
                return True, Counted(tuple(guard for guard, _ in pairs))
            firsts = [
                every(
                    guard,
                    *[negated(every(before, self._comparison.equal(item, other))) for before, other in pairs[:n]],
                )
                for n, (guard, item) in enumerate(pairs)
            ]
            return True, Counted(tuple(firsts))
        if isinstance(value, Split):
            return True, self._parts(value)
        if isinstance(value, Keyed):
            return True, Counted(tuple(guard for guard, _, _ in value.each))
        if isinstance(value, list | dict | str):
            return True, len(value)
        if is_term(value) and value.sort() == _TEXT:
            return True, z3.Length(value)
        raise Untranslated("count of a value of unknown type")

    def _regex(self, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        pattern, text = arguments
        if not isinstance(pattern, str):
            raise Untranslated("a regular expression that is not written out")
        there, read = self._text(text)
        return there, z3.InRe(read, _regex(pattern))

    def _glob(self, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        pattern, delimiters, text = arguments
        if not isinstance(pattern, str) or not (delimiters is None or is_concrete(delimiters)):
            raise Untranslated("a glob that is not written out")
        if delimiters is None or not all(delimiter in {".", "/"} for delimiter in delimiters):
            raise Untranslated("a glob with such delimiters")
        there, read = self._text(text)
        among = tuple(delimiters) or (".",)
        strange = z3.Contains(read, term("\0"))  # where engines differ
        either = z3.Function(f"builtin glob.match {pattern} {among}", _TEXT, z3.BoolSort())(read)
        return there, z3.If(strange, either, z3.InRe(read, _glob(pattern, among)))

    def _split(self, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        text, delimiter = arguments
        if not isinstance(delimiter, str):
            raise Untranslated("split by what is not written out")
        there, read = self._text(text)
        return there, Split(read, delimiter)

    def _parts(self, split: Split) -> Any:
        """How many parts there are."""
        text, delimiter = split.text, term(split.delimiter)
        if not split.delimiter:
            return z3.Length(text)
        counted = f"count(split(input[0], {json.dumps(split.delimiter)}))"
        number = self._application(counted, text, sort=z3.IntSort())
        many = z3.If(z3.Contains(_after(text, delimiter), delimiter), z3.If(number < 3, 3, number), 2)
        return z3.If(z3.Contains(text, delimiter), many, 1)

    def part(self, split: Split, index: int) -> tuple[Guard, Value]:
        """The part at an index, and when it is there; the first two are known exactly."""
        text, delimiter = split.text, term(split.delimiter)
        if not split.delimiter:
            return z3.Length(text) > index, z3.SubString(text, index, 1)
        if index == 0:
            return True, _before(text, delimiter)
        if index == 1:
            return z3.Contains(text, delimiter), _before(_after(text, delimiter), delimiter)
        expression = f"split(input[0], {json.dumps(split.delimiter)})[{index}]"
        return self._parts(split) > index, self._application(expression, text)

    def _trim_prefix(self, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        there, (text, part) = self._texts(arguments)
        rest = z3.SubString(text, z3.Length(part), z3.Length(text))
        return there, z3.If(z3.PrefixOf(part, text), rest, text)

    def _trim_suffix(self, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        there, (text, part) = self._texts(arguments)
        rest = z3.SubString(text, 0, z3.Length(text) - z3.Length(part))
        return there, z3.If(z3.SuffixOf(part, text), rest, text)

    def _substring(self, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        text, offset, length = arguments
        numbers = (offset, length)
        if not all(isinstance(each, int) and not isinstance(each, bool) for each in numbers) or offset < 0:
            raise Untranslated("substring at places that are not written out")
        there, read = self._text(text)
        return there, z3.SubString(read, offset, length if length >= 0 else z3.Length(read))

    def _sprintf(self, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        """Any text: what is made of it is for people to read."""
        form, items = arguments
        if not isinstance(form, str) or not isinstance(items, list):
            raise Untranslated("sprintf of what is not written out")
        if not all(each.sort() in {_TEXT, z3.IntSort()} for each in items if is_term(each)):
            raise Untranslated("sprintf of what is neither text nor number")
        if all(is_term(each) or isinstance(each, str) for each in items):
            return True, self._application(f"sprintf({json.dumps(form)}, input)", *map(term, items))
        return True, z3.String(f"sprintf {form} {[identity(each) for each in items]}")

    def _concat(self, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        between, items = arguments
        if not isinstance(between, str) or not isinstance(items, list) or not items:
            raise Untranslated("concat of a list that is not written out")
        there, texts = self._texts(items)
        joined = [part for text in texts for part in (term(between), text)][1:]
        return there, z3.Concat(*joined) if len(joined) > 1 else joined[0]

    def _cidr(self, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        network, address = arguments
        if not (isinstance(network, str) and isinstance(address, str)):
            raise Untranslated("net.cidr_contains of an address that is a fact")
        try:
            net, inner = ipaddress.ip_network(network, strict=False), ipaddress.ip_network(address, strict=False)
        except ValueError:
            raise Untranslated("net.cidr_contains of what is no network") from None
        if net.version != 4 or inner.version != 4:
            raise Untranslated("net.cidr_contains of IPv6")
        return True, inner.subnet_of(net)

    def _keys(self, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        (value,) = arguments
        if isinstance(value, Keyed):
            return True, gathered((guard, key) for guard, key, _ in value.each)
        if not isinstance(value, dict):
            raise Untranslated("object.keys of an object that is not written out")
        return True, gathered((True, name) for name in value)

    def _any_fix(self, test: Callable[[Any, Any], Any], arguments: Sequence[Value]) -> tuple[Guard, Value]:
        texts, parts = ([value] if isinstance(value, str) or is_term(value) else value for value in arguments)
        if not is_concrete(parts) or isinstance(texts, Unknown):
            raise Untranslated("strings.any_prefix_match of values of unknown type")
        found = [
            every(guard, test(self._text(text)[1], term(part)))
            for guard, text in items_of(texts)
            for _, part in items_of(parts)
        ]
        if not items_of(parts):
            raise Untranslated("strings.any_prefix_match of no texts")
        if isinstance(texts, Items):  # of a list without any, engines differ
            none = negated(some(*[guard for guard, _ in texts.each]))
            if "[" in texts.label.replace("input.targets[]", ""):
                self._fails(none, unclear=True)
            found.append(every(none, z3.Bool(f"builtin any match of none of {texts.label}")))
        return True, some(*found)

    def _any_prefix(self, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        return self._any_fix(_TESTS["startswith"], arguments)

    def _any_suffix(self, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        return self._any_fix(_TESTS["endswith"], arguments)

    def _abs(self, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        (value,) = arguments
        if is_term(value) and z3.is_int(value):
            return True, z3.If(value < 0, -value, value)
        raise Untranslated("abs of what may be no whole number")

    def _union(self, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        (sets,) = arguments
        pairs = [(every(g, h), item) for g, each in items_of(sets) for h, item in _of_set(each)]
        return True, gathered(pairs)

    def _array_concat(self, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        one, other = arguments
        if isinstance(one, list) and isinstance(other, list):
            return True, one + other
        if any(isinstance(each, Unknown) for each in arguments):
            raise Untranslated("array.concat of values of unknown type")
        return True, gathered([*items_of(one), *items_of(other)], ordered=True)

    _FORMS: ClassVar[dict[str, Callable[[Builtins, Sequence[Value]], tuple[Guard, Value]]]] = {
        "regex.match": _regex,
        "glob.match": _glob,
        "net.cidr_contains": _cidr,
        "object.keys": _keys,
        "strings.any_prefix_match": _any_prefix,
        "strings.any_suffix_match": _any_suffix,
        "abs": _abs,
        "union": _union,
        "array.concat": _array_concat,
        "concat": _concat,
        "split": _split,
        "sprintf": _sprintf,
        "substring": _substring,
        "trim_prefix": _trim_prefix,
        "trim_suffix": _trim_suffix,
    }


def _before(text: Any, delimiter: Any) -> Any:
    """What of a text stands before the first delimiter; without one all of it."""
    return z3.If(z3.Contains(text, delimiter), z3.SubString(text, 0, z3.IndexOf(text, delimiter, 0)), text)


def _after(text: Any, delimiter: Any) -> Any:
    """What of a text stands after the first delimiter that it has."""
    return z3.SubString(text, z3.IndexOf(text, delimiter, 0) + z3.Length(delimiter), z3.Length(text))


def as_they_are(formula: Guard, facts: Facts) -> Guard:
    """A formula where builtins give back the text that they are handed, and where texts are such that they do."""
    such = []
    for each in reversed(facts.applied.values()):  # outer ones first
        text, *more = each.arguments
        name = each.expression.partition("(")[0]
        if name in _KEPT:
            such.append(z3.InRe(text, _KEPT[name]))
        elif name in {"trim", "trim_left", "trim_right", "replace"} and z3.is_string_value(more[0]):
            parts = more[0].as_string()
            apart = [more[0]] if name == "replace" else list(map(term, _ESCAPED.sub("", parts)))
            such += [z3.Not(z3.Contains(text, part)) for part in apart]
        else:
            continue
        kept = every(formula, *such)
        formula, such = (z3.substitute(kept, (each.value, text)), []) if not isinstance(kept, bool) else (kept, [])
    return formula


def _range(*pairs: str) -> Any:
    """Texts of characters within these ranges."""
    ranges = [z3.Range(*pair) for pair in pairs]
    return z3.Star(z3.Union(*ranges) if len(ranges) > 1 else ranges[0])


_ESCAPED = re.compile(r"\\u\{[0-9a-f]+\}")
_KEPT: dict[str, Any] = {"lower": _range(" @", "[~"), "upper": _range(" `", "{~"), "trim_space": _range("!~")}


def _of_set(value: Value) -> Sequence[tuple[Guard, Value]]:
    if not isinstance(value, Gathered) or value.ordered:
        raise Untranslated("union of what is no set")
    return value.each


@functools.lru_cache(maxsize=256)
def _regex(pattern: str) -> Any:
    return regexes.matching(pattern)


@functools.lru_cache(maxsize=256)
def _glob(pattern: str, delimiters: tuple[str, ...]) -> Any:
    return regexes.glob(pattern, delimiters)
