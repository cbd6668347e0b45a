"""Builtins as symbols: exactly where Z3 has the like, or as a function of which nothing else is known.

Such a function is one for both policies, and a builtin answers alike for like arguments; so what is proved holds
whatever it does. A builtin that may end in an error, or has another form here, is not translated.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import z3

from pdp.tools.prove import regexes
from pdp.tools.prove.terms import (
    ARRAY,
    BOOLEAN,
    NULL,
    NUMBER,
    OBJECT,
    SET,
    TEXT,
    Comparison,
    Counted,
    Gathered,
    Guard,
    Items,
    Unknown,
    Untranslated,
    Value,
    every,
    gathered,
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
    "lower": 1, "upper": 1, "trim": 2, "trim_left": 2, "trim_right": 2, "trim_space": 1, "trim_prefix": 2,
    "trim_suffix": 2, "replace": 3, "base64.encode": 1, "hex.encode": 1, "base64url.encode": 1,
    "base64url.encode_no_pad": 1,
}  # fmt: skip
_TESTS: dict[str, Callable[[Any, Any], Any]] = {
    "startswith": lambda text, part: z3.PrefixOf(part, text),
    "endswith": lambda text, part: z3.SuffixOf(part, text),
    "contains": z3.Contains,
}
_TEXT = z3.StringSort()


class Builtins:
    """The builtins over one set of comparisons. `fails` is told when one may end in an error."""

    def __init__(self, comparison: Comparison, fails: Callable[[Guard], None]) -> None:
        self._comparison = comparison
        self._fails = fails

    def call(self, name: str, arguments: Sequence[Value]) -> tuple[Guard, Value]:
        """The value of a call, and when it has one. Raises Untranslated."""
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
        function = z3.Function(f"builtin {name}", *[_TEXT] * len(texts), _TEXT)
        return there, function(*texts)

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
        self._fails(every(there, z3.Contains(read, term("\0"))))
        return there, z3.InRe(read, _glob(pattern, tuple(delimiters) or (".",)))

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
            self._fails(negated(some(*[guard for guard, _ in texts.each])))
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
    }


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
