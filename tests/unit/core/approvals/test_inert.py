# ruff: noqa: RUF001 - it is about characters that look like others
"""Every deceptive character is made visible, and no two texts look the same."""

import re
import sys
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pdp.core.approvals.inert import DEFAULT_IGNORABLE, MAX_MARKS, MAX_RUN, hidden, visible

HIDDEN = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs", "Me")
LETTERS = "a\u00e9\u0436\u4e2d\u3042\uac00\u05d0\u0639\u0905\u0e01"
_TOKEN = re.compile(r"⟨(?:U\+([0-9A-F]{4,6})|space)(?: ×(\d+))?⟩|(.)⟨×(\d+)⟩|(.)", re.DOTALL)


def read_back(shown: str) -> str:
    """The inverse of `visible`, written from its description."""
    out = []
    for found in _TOKEN.finditer(shown):
        code, times, char, count, plain = found.groups()
        if plain is not None:
            out.append(plain)
        elif char is not None:
            out.append(char * int(count))
        else:
            out.append((chr(int(code, 16)) if code else " ") * int(times or 1))
    return "".join(out)


def of_categories() -> Iterator[str]:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if char != " " and unicodedata.category(char) in HIDDEN:
            yield char


def spelled(char: str) -> str:
    return f"⟨U+{ord(char):04X}⟩"


def test_every_control_format_separator_private_surrogate_and_unassigned_character() -> None:
    """The large planes are sampled at their ends: all their characters are of one category."""
    tried = 0
    for char in of_categories():
        code = ord(char)
        if 0x30000 < code < 0xE0000 and code & 0xFFFF not in (0, 1, 0xFFFE, 0xFFFF):
            continue
        if code > 0xE0FFF and code & 0x3FF:
            continue
        assert hidden(char), spelled(char)
        tried += 1
    assert tried > 40_000
    assert visible("a\u202eb") == "a⟨U+202E⟩b"


@pytest.mark.parametrize("span", DEFAULT_IGNORABLE, ids=lambda span: f"{span[0]:04X}")
def test_every_default_ignorable_variation_selector_and_tag(span: tuple[int, int]) -> None:
    first, last = span
    for code in range(first, last + 1):
        assert visible(f"a{chr(code)}b") == f"a⟨U+{code:04X}⟩b"


@pytest.mark.parametrize("code", [0xFE00, 0xFE0F, 0xE0100, 0xE01EF, 0xE0001, 0xE0020, 0xE007F, 0x180B, 0x180F])
def test_variation_selectors_and_tags_are_among_them(code: int) -> None:
    assert any(first <= code <= last for first, last in DEFAULT_IGNORABLE)


@pytest.mark.parametrize("text", ["⟨", "⟩", "⟨U+202E⟩", "⟨secret: jwt⟩", "\u2329", "〈", "❬", "‹", "⧼"])
def test_nothing_passes_for_what_we_write(text: str) -> None:
    shown = visible(text)
    assert shown != text
    assert shown.startswith(f"⟨U+{ord(text[0]):04X}⟩")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain text, with (punctuation)!", "plain text, with (punctuation)!"),
        ("a  b", "a⟨space ×2⟩b"),
        (" a ", "⟨space ×1⟩a⟨space ×1⟩"),
        (f"a{' ' * 40}b", "a⟨space ×40⟩b"),
        ("a\u00a0b\u3000c", "a⟨U+00A0⟩b⟨U+3000⟩c"),
        ("a\tb", "a⟨U+0009⟩b"),
        ("\u202e" * 5, "⟨U+202E ×5⟩"),
        ("0" * MAX_RUN, "0" * MAX_RUN),
        ("0" * 30, "0⟨×30⟩"),
        ("a\u2800b", "a⟨U+2800⟩b"),
        ("\x1b[31m", "⟨U+001B⟩[31m"),
        ("\ud800", "⟨U+D800⟩"),
        ("\U0010ffff", "⟨U+10FFFF⟩"),
        ("1\r\n2", "1⟨U+000D⟩⟨U+000A⟩2"),
        ("1\u20282", "1⟨U+2028⟩2"),
        ("/p\u0430ypal/\u0430dmin", "/p⟨U+0430⟩ypal/⟨U+0430⟩dmin"),
        ("\u03bfrg", "⟨U+03BF⟩rg"),
        ("pi\u00f1a \u0430\u0301\u0432 b", "pi\u00f1a \u0430\u0301\u0432 b"),
        ("x\u0430\u0301", "x⟨U+0430⟩⟨U+0301⟩"),
        ("\u043f\u0440\u0438\u0432\u0435\u0442 world", "\u043f\u0440\u0438\u0432\u0435\u0442 world"),
        ("git\u30ea\u30dd", "git\u30ea\u30dd"),
    ],
)
def test_how_it_looks(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1\n2", "1\n2"),
        ("1\n\n2", "1\n\n2"),
        ("1\n\n\n\n\n2", "1\n⟨U+000A ×3⟩\n2"),
        ("1\r\n2", "1⟨U+000D⟩\n2"),
        ("1\u20282\x0b3", "1⟨U+2028⟩2⟨U+000B⟩3"),
        (" 1\n 2", "⟨space ×1⟩1\n⟨space ×1⟩2"),
    ],
)
def test_a_block_keeps_its_lines(text: str, shown: str) -> None:
    assert visible(text, lines=True) == shown


@pytest.mark.parametrize("letter", LETTERS)
def test_letters_of_all_scripts_show_themselves(letter: str) -> None:
    assert visible(letter) == letter


@pytest.mark.parametrize(
    "text",
    [
        "\u0e01\u0e34\u0e48",  # Thai: consonant, vowel and tone
        "\u0928\u093f",  # Devanagari
        "\u05d0\u05b8",  # Hebrew
        "\u0628\u064e",  # Arabic
        "x\u0302",  # no single character for it
    ],
)
def test_marks_that_writing_needs_show_themselves(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "e\u0301",  # the same shape as one character
        "\u0301a",  # on nothing
        " \u0301",
        "=\u0338",  # a stroke that makes another sign
        "a\u0336",  # a stroke through a letter
        "a\u20dd",  # a circle around it
        "x" + "\u0302\u0303\u0304\u0305",  # a pile
        "x\u0302\u0302",  # twice the same
        "a\u0302\u0323",  # in another order than usual
        "\u1100\u1161",  # letters that join to one syllable
        "\u212b",  # looks like its twin
        "\uf900",
    ],
)
def test_what_passes_for_something_else_is_spelled_out(text: str) -> None:
    shown = visible(text)
    assert "⟨U+" in shown
    assert read_back(shown) == text
    assert len(text) < 2 + MAX_MARKS or shown.count("⟨") == len(text) - 1


_CHARS = st.one_of(
    st.characters(),
    st.sampled_from(" \n\t⟨⟩×0a\u0301\u0338\u202e\u200b\ufe0f\u1100\u1161\u3000\ud800\U000e0041"),
    st.sampled_from(LETTERS + "\u0430\u03bf"),
)
_TEXTS = st.lists(st.tuples(_CHARS, st.integers(1, 30)), max_size=8).map(lambda runs: "".join(c * n for c, n in runs))


@settings(max_examples=200, deadline=None, derandomize=True)
@example("  ")
@example("⟨space ×2⟩")
@example("0⟨×30⟩")
@example("0" * 30)
@example("a\n" + "\n" * 30)
@given(_TEXTS)
def test_it_can_be_read_back(text: str) -> None:
    """So two different texts never look the same."""
    assert read_back(visible(text)) == text


@settings(max_examples=200, deadline=None, derandomize=True)
@given(_TEXTS)
def test_what_is_shown_is_inert(text: str) -> None:
    for shown in (visible(text), visible(text, lines=True).replace("\n", "")):
        shown.encode()
        assert unicodedata.normalize("NFC", shown) == shown
        ours = set("⟨⟩")
        assert not any(hidden(char) for char in shown if char not in ours)
        assert "  " not in shown
        assert shown == shown.strip(" ")
        assert re.search(rf"([^⟨⟩])\1{{{MAX_RUN}}}", shown) is None


@settings(deadline=None, derandomize=True)
@given(_TEXTS, _TEXTS)
def test_two_blocks_never_look_the_same(one: str, other: str) -> None:
    if one != other:
        assert visible(one, lines=True) != visible(other, lines=True)
