"""Passages of one text that a result should not carry, as kind, detail and span: credentials, hidden characters,
active content, personal data, stack traces, and what errors leak.

All run in linear time on hostile text: repeats are bounded or cannot start inside their own run, and a text is looked
at in windows, so that no single search holds up other threads for long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from pdp.core.tables import tables
from pdp.core.text.credentials import OwnToken, credentials, windows
from pdp.core.text.patterns import ANY_HIDDEN, hidden_in


@dataclass(frozen=True, slots=True, order=True)
class TextSpan:
    """One passage: from `start` to before `end`, in characters."""

    start: int
    end: int
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Shape:
    kind: str
    detail: str
    text: re.Pattern[str]
    holds: Callable[[str], bool] = lambda _: True


def _internal(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return not address.is_global and not address.is_unspecified and not address.is_multicast


def _shapes(kind: str, flags: int = 0) -> Iterator[_Shape]:
    for detail, expressions in _TABLES[kind].items():
        yield from (_Shape(kind, detail, re.compile(each, flags)) for each in expressions)


_TABLES = tables(__file__)
_SHAPES = (*_shapes("active_content", re.IGNORECASE), *_shapes("trace"))
_ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]\d)")
_OF_ERRORS = (*_shapes("leak"), _Shape("leak", "internal_host", _ADDRESS, _internal))


def passages(text: str, *, of_error: bool, own: tuple[OwnToken, ...] = ()) -> Iterator[TextSpan]:
    """Every passage of a text, in no order; `of_error` is whether the text is what an error says, `own` are the
    tokens that its call came with."""
    for each in credentials(text, own):
        yield TextSpan(each.start, each.end, each.kind, each.name)
    shapes = (*_SHAPES, *_OF_ERRORS) if of_error else _SHAPES
    seen: set[TextSpan] = set()
    for offset, window in windows(text):
        for span in _of_window(window, shapes):
            placed = TextSpan(span.start + offset, span.end + offset, span.kind, span.detail)
            if placed not in seen:
                seen.add(placed)
                yield placed


def _of_window(text: str, shapes: tuple[_Shape, ...]) -> Iterator[TextSpan]:
    if not text.isascii() or not text.isprintable():
        for run in ANY_HIDDEN.finditer(text):
            for name in hidden_in(run[0]):
                yield TextSpan(run.start(), run.end(), "hidden_unicode", name)
    for shape in shapes:
        for match in shape.text.finditer(text):
            if shape.holds(match[0]):
                yield TextSpan(match.start(), match.end(), shape.kind, shape.detail)
    yield from _cards(text)
    yield from _ibans(text)


_DIGITS = re.compile(r"(?<![\w.])\d{3,19}(?:[ -]\d{3,7}){0,63}+(?!\w)")
_GROUP = re.compile(r"\d+")
_ISSUERS = re.compile(
    r"4\d{15}(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[689]\d)\d{11}"
)
_CARD = range(14, 20)  # digits


def _cards(text: str) -> Iterator[TextSpan]:
    """Numbers of payment cards: whole groups of digits, by issuer and check digit (ISO/IEC 7812, Luhn)."""
    for run in _DIGITS.finditer(text):
        groups = [(group.start(), group.end()) for group in _GROUP.finditer(text, *run.span())]
        for first, (start, _) in enumerate(groups):
            digits = ""
            for begin, end in groups[first:]:
                digits += text[begin:end]
                if len(digits) >= _CARD.stop:
                    break
                if len(digits) in _CARD and _ISSUERS.fullmatch(digits) and _luhn(digits):
                    yield TextSpan(start, end, "personal_data", "card")


def _luhn(digits: str) -> bool:
    doubled = (int(each) * (1 + place % 2) for place, each in enumerate(reversed(digits)))
    return sum(each // 10 + each % 10 for each in doubled) % 10 == 0


_LENGTHS = {country: int(length) for length, found in _TABLES["iban"].items() for country in found.split()}
_IBAN = re.compile(r"(?<![A-Za-z0-9])([A-Z]{2})\d{2}")
_RESTS = {
    length: re.compile(rf"(?:[ -]?[A-Z0-9]){{{length - 4}}}(?![A-Za-z0-9])") for length in set(_LENGTHS.values())
}


def _ibans(text: str) -> Iterator[TextSpan]:
    """International bank account numbers: length by country, check digits (ISO 13616, modulo 97)."""
    for begun in _IBAN.finditer(text):
        length = _LENGTHS.get(begun[1])
        rest = _RESTS[length].match(text, begun.end()) if length is not None else None
        if rest is not None and _mod97(begun[0] + rest[0].replace(" ", "").replace("-", "")):
            yield TextSpan(begun.start(), rest.end(), "personal_data", "iban")


def _mod97(number: str) -> bool:
    return int("".join(str(int(char, 36)) for char in number[4:] + number[:4])) % 97 == 1
