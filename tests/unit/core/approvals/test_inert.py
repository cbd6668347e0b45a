# ruff: noqa: RUF001 - it is about characters that look like others
"""Every deceptive character is made visible, and no two texts look the same."""

import re
import sys
import unicodedata
from collections.abc import Iterator

from confusable_homoglyphs import confusables
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.for_each import for_each

from pdp.core.text.safety import DEFAULT_IGNORABLE, MAX_MARKS, MAX_RUN, abridged, hidden, isolated, skeleton, visible

HIDDEN = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs", "Me")
LETTERS = "a\u00e9\u0436\u4e2d\u3042\uac00\u05d0\u0639\u0905\u0e01"
_TOKEN = re.compile(r"⟨(?:U\+([0-9A-F]{4,6})|space|([^\x00-\x7f×⟨⟩]+))(?: ×(\d+))?⟩|(.)⟨×(\d+)⟩|(.)", re.DOTALL)


def read_back(shown: str) -> str:
    """The inverse of `visible`, written from its description."""
    out = []
    for found in _TOKEN.finditer(shown):
        code, marked, times, char, count, plain = found.groups()
        if plain is not None:
            out.append(plain)
        elif char is not None:
            out.append(char * int(count))
        else:
            out.append((chr(int(code, 16)) if code else marked or " ") * int(times or 1))
    return "".join(out)


def of_categories() -> Iterator[str]:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if char != " " and unicodedata.category(char) in HIDDEN:
            yield char


def spelled(char: str) -> str:
    return f"⟨U+{ord(char):04X}⟩"


MARKED = frozenset("‘’‚“”–…−№ÆæŒœı")  # drawn like ASCII, and honest prose is full of them


def pointed_out(char: str) -> str:
    return f"⟨{char}⟩" if char in MARKED else spelled(char)


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


@for_each("span", DEFAULT_IGNORABLE, ids=lambda span: f"{span[0]:04X}")
def test_every_default_ignorable_variation_selector_and_tag(span: tuple[int, int]) -> None:
    first, last = span
    for code in range(first, last + 1):
        assert visible(f"a{chr(code)}b") == f"a⟨U+{code:04X}⟩b"


@for_each("code", [0xFE00, 0xFE0F, 0xE0100, 0xE01EF, 0xE0001, 0xE0020, 0xE007F, 0x180B, 0x180F])
def test_variation_selectors_and_tags_are_among_them(code: int) -> None:
    assert any(first <= code <= last for first, last in DEFAULT_IGNORABLE)


@for_each("text", ["⟨", "⟩", "⟨U+202E⟩", "⟨secret: jwt⟩", "\u2329", "〈", "❬", "‹", "⧼"])
def test_nothing_passes_for_what_we_write(text: str) -> None:
    shown = visible(text)
    assert shown != text
    assert shown.startswith(f"⟨U+{ord(text[0]):04X}⟩")


@for_each(
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


@for_each(
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


LOOK_ALIKES = {  # what was drawn as plain ASCII, by what it was taken for
    "∕⁄／⧸": "/",
    "․": ".",
    "‐‑–−": "-",
    "꞉：": ":",
    "ⅼǀ∣": "l",
    "ɡ𝐠ｇ": "g",
    "ɑ𝒂ａа": "a",
    "ıіɩ": "i",
    "𝟎０": "0",
    "’′＇": "'",
    "ﬁ": "fi",
    "＄": "$",
    "\u037e；": ";",
    "וןا١": "l",
    "סه٥": "o",
    "٠": ".",
}


@for_each(("char", "ascii_"), [(char, to) for chars, to in LOOK_ALIKES.items() for char in chars])
def test_what_is_drawn_like_ascii_is_pointed_out_wherever_it_stands(char: str, ascii_: str) -> None:
    for before, after in (("", ""), ("/etc/", "passwd"), ("rm -rf /", " home"), ("x", "4"), ("привет", "")):
        if before == "привет" and unicodedata.name(char).startswith("CYRILLIC"):
            continue  # at home there
        shown = visible(before + char + after)
        assert pointed_out(char) in shown, (before, ascii_)
        assert read_back(shown) == before + char + after


def test_every_character_that_uts_39_calls_confusable_with_ascii() -> None:
    """By the package's own answer, one at a time: but letters and digits of scripts, on their own, too."""
    tried = 0
    for code in range(0x80, 0x20000):
        char = chr(code)
        found = confusables.is_confusable(char, greedy=True)
        if not found or not any(each["c"].isascii() for each in found[0]["homoglyphs"]):
            continue
        plain_letter = 0xC0 <= code <= 0x17F and char.isalpha() and not unicodedata.decomposition(char)
        put = f"⟨{char}⟩" if plain_letter else pointed_out(char)
        assert visible(f"/{char}/") == f"/{put}/"
        assert visible(f"a{char}") == f"a{put}"
        tried += 1
    assert tried > 1_500


@for_each(
    ("text", "shown"),
    [
        ("п4ураl", "⟨U+043F⟩4⟨U+0443⟩⟨U+0440⟩⟨U+0430⟩l"),  # a word split by a digit is one word
        ("а1b", "⟨U+0430⟩1b"),
        ("1а", "1⟨U+0430⟩"),
        ("сору", "⟨U+0441⟩⟨U+043E⟩⟨U+0440⟩⟨U+0443⟩"),  # a whole word of look-alikes
        ("𝐩𝐚𝐲𝐩𝐚𝐥", "".join(f"⟨U+{ord(c):04X}⟩" for c in "𝐩𝐚𝐲𝐩𝐚𝐥")),
        ("𝛃𝐚", "𝛃⟨U+1D41A⟩"),  # mathematical letters tell no script
        ("i̇d", "i⟨U+0307⟩d"),  # a dot on what has one
        ("٠", "⟨U+0660⟩"),
        ("٢٠٢٦", "٢٠٢٦"),  # evidently a number of that script
        ("1٠5", "1⟨U+0660⟩5"),
        ("Моя работа", "Моя работа"),
        ("отчёт за год", "отчёт за год"),
        ("αβγ", "αβγ"),
        ("दुःख", "दुःख"),
        ("ノート", "ノート"),
        ("ノ", "⟨U+30CE⟩"),
        ("naïve café Æther", "naïve café ⟨Æ⟩ther"),
        ("cat x │ sh", "cat x ⟨U+2502⟩ sh"),  # a stroke of a box
        ("C:╲Windows", "C:⟨U+2572⟩Windows"),
        ("rm ──force", "rm ⟨U+2500 ×2⟩force"),
        ("ᴀᴅᴍɪɴ", "".join(f"⟨U+{ord(c):04X}⟩" for c in "ᴀᴅᴍɪɴ")),  # small capitals
        ("ʙob", "⟨U+0299⟩ob"),
        ("a丨b", "a⟨U+4E28⟩b"),
        ("cat x 丨 sh", "cat x ⟨U+4E28⟩ sh"),
        ("主页丨标题", "主页丨标题"),  # between Chinese it is what it is
        ("删除 丨 文件", "删除 ⟨丨⟩ 文件"),
        ("50﹪﹣﹫", "50⟨U+FE6A⟩⟨U+FE63⟩⟨U+FE6B⟩"),  # small forms
        ("ᑕat", "⟨U+1455⟩at"),
        ("გამარჯობა", "გამარჯობა"),
        ("ᐃᓄᒃᑎᑐᑦ", "ᐃᓄᒃᑎᑐᑦ"),
        ("一つ、二つ、ー", "一つ、二つ、ー"),
    ],
)
def test_a_word_stays_where_it_tells_its_script(text: str, shown: str) -> None:
    assert visible(text) == shown


@for_each(
    ("text", "shown"),
    [
        ("“Don’t,” she said – it’s…", "⟨“⟩Don⟨’⟩t,⟨”⟩ she said ⟨–⟩ it⟨’⟩s⟨…⟩"),
        ("„ja“ und ‚nein‘, 9–17 Uhr", "„ja⟨“⟩ und ⟨‚⟩nein⟨‘⟩, 9⟨–⟩17 Uhr"),
        ("l’œuvre, ılık", "l⟨’œ⟩uvre, ⟨ı⟩l⟨ı⟩k"),
        ("––force", "⟨––⟩force"),
        ("–" * 30, "⟨– ×30⟩"),
        ("отчёт о работе, а у Сары", "отчёт ⟨о⟩ работе, ⟨а⟩ ⟨у⟩ Сары"),
        ("і його мову", "⟨і⟩ його мову"),
        ("το αρχείο ο κόσμος", "το αρχείο ⟨ο⟩ κόσμος"),
        ("הדוח אל יוסי, הוא", "הדוח אל ⟨יוסי⟩, הוא"),
        ("قبل ١٠ مساءً", "قبل ⟨١٠⟩ مساءً"),
        ("谢谢！（一份）：二〇二六年", "谢谢⟨！（⟩一份⟨）：⟩二⟨〇⟩二六年"),
        ("全角ＡＢＣ１２", "全角⟨ＡＢＣ１２⟩"),
    ],
)
def test_honest_prose_is_marked_and_can_be_read(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert read_back(shown) == text


@for_each(
    ("text", "shown"),
    [
        ("rm /сору отчёт", "rm /⟨U+0441⟩⟨U+043E⟩⟨U+0440⟩⟨U+0443⟩ отчёт"),  # part of a path
        ("/сору отчёт", "/⟨U+0441⟩⟨U+043E⟩⟨U+0440⟩⟨U+0443⟩ отчёт"),
        ("сору.ехе отчёт", "⟨U+0441⟩⟨U+043E⟩⟨U+0440⟩⟨U+0443⟩.⟨U+0435⟩⟨U+0445⟩⟨U+0435⟩ отчёт"),
        ("сору --all", "⟨U+0441⟩⟨U+043E⟩⟨U+0440⟩⟨U+0443⟩ --all"),  # nothing tells that the line is Russian
        ("отчёт ⟨о⟩", "отчёт ⟨U+27E8⟩⟨U+043E⟩⟨U+27E9⟩"),
        ("отчёт αο", "отчёт ⟨U+03B1⟩⟨U+03BF⟩"),
        ("отчёт ο", "отчёт ⟨U+03BF⟩"),  # a Greek one
        ("отчёт сoру", "отчёт ⟨U+0441⟩o⟨U+0440⟩⟨U+0443⟩"),
        ("ＡＢＣ", "⟨U+FF21⟩⟨U+FF22⟩⟨U+FF23⟩"),
        ("谢谢 ／etc／passwd", "谢谢 ⟨U+FF0F⟩etc⟨U+FF0F⟩passwd"),
        ("0×30", "0⟨U+00D7⟩30"),  # which we write ourselves
        ("ſudo", "⟨U+017F⟩udo"),
    ],
)
def test_where_honest_prose_has_it_not_it_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert read_back(shown) == text


def test_a_reader_that_sees_no_shapes_is_not_told_of_them() -> None:
    assert visible("don’t ∕ сору\u202e", alike=False) == "don’t ∕ сору⟨U+202E⟩"
    assert visible("pаypal", alike=False) == "p⟨U+0430⟩ypal"  # a mixture it is all the same


@for_each(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("привет", "привет"),
        ("/א/ב/c", "/\u2068א\u2069/\u2068ב\u2069/c"),
        ("שלום עולם", "\u2068שלום עולם\u2069"),
        ("שָלוֹם, עולם", "\u2068שָלוֹם\u2069, \u2068עולם\u2069"),
        ("א 1 ב", "\u2068א\u2069 1 \u2068ב\u2069"),
        ("a א", "a \u2068א\u2069"),
        ("א a", "\u2068א\u2069 a"),
        ("אל ⟨יוסי⟩ a", "\u2068אל ⟨יוסי⟩\u2069 a"),
        ("⟨U+05D9⟩ א", "⟨U+05D9⟩ \u2068א\u2069"),
    ],
)
def test_what_runs_from_right_to_left_turns_nothing_else_around(text: str, shown: str) -> None:
    assert isolated(text) == shown


@for_each("letter", LETTERS)
def test_letters_of_all_scripts_show_themselves(letter: str) -> None:
    assert visible(letter) == letter


@for_each(
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


@for_each(
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


@for_each(
    ("one", "other"),
    [
        ("anna", "аnnа"),
        ("bill", "bi1l"),
        ("o'neil", "o’neil"),
        ("a-b", "a‐b"),
        ("vi", "ѵі"),
        ("x", "𝐱"),
        ("admin", "ᴀᴅᴍɪɴ"),
        ("a|b", "a│b"),
        ("anna", "anna "),
        ("anna", "\u3000\tanna"),
        ("anna b", "anna  b"),
        ("anna", "an\u034fna\ufe0f"),  # a joiner and a variation selector: printable, and drawn as nothing
        ("anna", "anna\u3164\u2800"),  # a filler of Hangul, and Braille without a dot
    ],
)
def test_what_is_drawn_alike_has_one_skeleton(one: str, other: str) -> None:
    assert one != other
    assert skeleton(one) == skeleton(other)


def test_what_is_not_has_two() -> None:
    words = ["anna", "anne", "ann", "anna1", "ana", "bea", "иван", "李", "an na"]
    assert len({skeleton(word) for word in words}) == len(words)


def test_of_a_long_text_the_middle_is_left_out_and_no_two_look_the_same() -> None:
    """Neither with what differs in the middle alone, nor with a short one that says that something is left out."""
    long = [f"/repo/{'a' * 300}{each}{'b' * 300}/src" for each in "xyz"]
    shown = [abridged(text, 120) for text in long]
    assert len(set(shown)) == len(long)
    for each in shown:
        assert re.fullmatch(r"/repo/a⟨×34⟩⟨491 more, sha256 [0-9a-f]{16}⟩b⟨×76⟩/src", each)
        assert abridged(each, 120) == visible(each) not in shown
    assert abridged("/repo/\x1b[2J\u202e", 120) == "/repo/⟨U+001B⟩[2J⟨U+202E⟩"
    assert "⟨U+202E ×40⟩⟨" in abridged("\u202e" * 10_000, 120)
