"""What a text names, verbatim: no spelling of a value names another one, an ordinary sentence names what it says."""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.for_each import for_each

from devtools.sessions.replay import SeenAtoms
from pdp.core.call.origins import EXTERNAL, NONE, OWN, TASK, of_arguments, of_result, origin_of
from pdp.core.call.task import of_task
from pdp.core.text.verbatim import Wording


def origins_in(text: str, value: str | Decimal) -> set[str]:
    """What the task and a result of one's own make of a value."""
    own = SeenAtoms()
    own.add(of_result(text, []))
    return {origin_of(value, of_task(text), lambda *_: False), origin_of(value, of_task(""), own.held)}


@for_each(("said", "used"), [
    ("clean ./build/ up", "/build/"),
    ("clean ../build up", "/build"),
    ("clean ../build up", "build"),
    ("look into ../..", "../."),
    ("look into ../..", "../"),
    ("clean /build/ up", "/Build/"),
    ("clean tmp* up", "tmp"),
    ("clean tmp up", "tmp*"),
    ("delete _cache", "cache"),
    ("delete |x|", "x"),
    ("delete $HOME", "HOME"),
    ("delete C:\\new", "C:"),
    ("delete C:\\new", "ew"),
    ("mail max@stra\u00dfe.de", "max@strasse.de"),
    ("mail max@strasse.de", "max@stra\u00dfe.de"),
    ("mail Dora@x.example", "dora@x.example"),
    ("mail dora@x.example", "\uff44ora@x.example"),
    ("mail dora@x.example", "dora@\u24e7.example"),
    ("mail o'brien@x.example", "brien@x.example"),
    ("mail bounce+eve=x.example@y.example", "x.example@y.example"),
    ("release 1.10", "1.1"),
    ("release 1.1", "1.10"),
    ("release 10", "10.0"),
    ("pay 1,000", "1000"),
    ("pay 1,000", "1"),
    ("open https://bit.ly/3AbC", "https://bit.ly/3aBc"),
    ("open https://x.example/a,b", "https://x.example/a"),
    ("open https://x.example/?to=eve@y.example", "eve@y.example"),
    ("call 12 34 56", "56 34 12"),
    ("call 12 34 56", "12 56"),
    ("call 12 34 56", "123456"),
    ("call 12 34", "12  34"),
    ("call 12 34", "12\n34"),
    ("Le Marais Boutique", " Le Marais"),
    ("meet on 2024-05-19, then eat. 12:00 is late", "2024-05-19 12:00"),
    ("meet on 2024-05-19 or on the next one at 12:00", "2024-05-19 12:00"),
    ("move it from 2024-05-19 12:00 to 2024-05-20", "2024-05-20 12:00"),
    ("move it from 2024-05-19 at 12:00 on 2024-05-20", "2024-05-20 12:00"),
    ("move it from 12:00 on 2024-05-19 to 13:00", "2024-05-19 13:00"),
    ("book 2024-05-19 12:00, 2024-05-20 13:00", "2024-05-20 12:00"),
    ("book 12:00 on 2024-05-19, 13:00 on 2024-05-20", "2024-05-19 13:00"),
    ("book 2024-05-19 12:00 2024-05-20", "2024-05-20 12:00"),
    ("book 2024-05-19 until 12:00", "2024-05-19 12:00"),
    ("run report(final).pdf", "report"),
    ("rm(1)", "rm(1"),
])  # fmt: skip
def test_a_text_does_not_name_another_spelling(said: str, used: str) -> None:
    assert origins_in(said, used) == {NONE}
    assert origins_in(f"Please {said}, thank you.", used) == {NONE}


@for_each(("said", "used"), [
    ("Please mail dora@x.example.", "dora@x.example"),
    ("Mail (dora@x.example), please", "dora@x.example"),
    ("Mail Dora Lee <dora@x.example>!", "dora@x.example"),
    ("Mail Dora Lee <dora@x.example>!", "Dora Lee <dora@x.example>"),
    ("Mail a@x.example,b@x.example;c@x.example", "b@x.example"),
    ("Is it dora@x.example?", "dora@x.example"),
    ("Clean ./build/.", "./build/"),
    ("Clean `./build/`", "./build/"),
    ("See https://x.example/a,b?c=d.", "https://x.example/a,b?c=d"),
    ("Call f(x).", "f(x)"),
    ("Emma's order", "Emma"),
    ("Emma\u2019s order", "Emma"),
    ("titled 'Le Marais Boutique'", "Le Marais Boutique"),
    ("titled \u201eLe Marais\u201c, yes", "Le Marais"),
    ("titled \u00abLe Marais\u00bb", "Le Marais"),
    ("the Le\n  Marais house", "Le Marais"),
    ("pay $1,000.50 now", "1,000.50"),
    ("pay 12.50\u20ac now", "12.50"),
    ('{"to":"dora@x.example","n":12}', "dora@x.example"),
    ("{'payee': 'Ann Lee', 'iban': 'GB22 1111'}", "GB22 1111"),
    (unicodedata.normalize("NFD", "caf\u00e9 M\u00fcller"), "caf\u00e9 M\u00fcller"),
    ("caf\u00e9 M\u00fcller", unicodedata.normalize("NFD", "caf\u00e9 M\u00fcller")),
    ("at 12:00 on 2024-05-19?", "2024-05-19 12:00"),
    ("2024-05-19, 12:00", "2024-05-19 12:00"),
    ("on 2024-05-19 at 12:00.", "2024-05-19 12:00"),
    ("am 2024-05-19 um 12:00", "2024-05-19 12:00"),
    ("el 2024-05-19 a las 12:00", "2024-05-19 12:00"),
    ("from 12:00 on 2024-05-19 to 13:00 on 2024-05-20", "2024-05-20 13:00"),
    ("on 2024-05-19 and 2024-05-20 at 12:00", "2024-05-20 12:00"),
    ("2024-05-19 12:00, 2024-05-20 13:00", "2024-05-20 13:00"),
    ("at 12:00 on 2024-05-19, 13:00 on 2024-05-20", "2024-05-20 13:00"),
])  # fmt: skip
def test_an_ordinary_text_names_what_it_says(said: str, used: str) -> None:
    assert not origins_in(said, used) & {NONE}


@for_each(("said", "number", "found"), [
    ("pay $1,000.50 now", "1000.5", True),
    ("pay 1000.500", "1000.5", True),
    ("pay \u20ac12,", "12", True),
    ("owe -12", "-12", True),
    ('{"n":12}', "12", True),
    ("release 1.10", "1.1", True),  # they are one number
    ("pay 1,0000", "10000", False),
    ("on 2024-05-19", "2024", False),
    ("order #12", "12", False),
    ("007", "7", False),
    ("nothing", "0", False),
])  # fmt: skip
def test_a_json_number_compares_as_a_number(said: str, number: str, *, found: bool) -> None:
    assert origins_in(said, Decimal(number)) == ({TASK, OWN} if found else {NONE})


def test_a_number_and_a_text_are_told_apart() -> None:
    structured = SeenAtoms()
    structured.add(of_result({"id": 1008, "rent": 950.0}, []))
    for value in ("1008", Decimal(1008), "950", Decimal("950.00")):
        assert origin_of(value, of_task(""), structured.held) == OWN
    for value in ("950.00", "\n1008"):
        assert origin_of(value, of_task(""), structured.held) == NONE
    structured.add(of_arguments({"note": "950.00"}))  # said before it was returned, in another spelling
    assert origin_of(Decimal(950), of_task(""), structured.held) == NONE


def test_what_two_members_say_is_no_value() -> None:
    seen = SeenAtoms()
    seen.add(of_result([{"name": "Ann", "surname": "Lee", "time": "12:00"}, {"date": "2024-05-19"}], []))
    for value in ("Ann Lee", "Lee 12:00", "2024-05-19 12:00"):
        assert origin_of(value, of_task(""), seen.held) == NONE


def test_pairs_of_account_numbers_are_not_put_together() -> None:
    """Beside forty transactions half of all random numbers in pairs were the user's own."""
    lines = [f"DE{n:02d} 37{n:02d} 04{n:02d} 53{n:02d}" for n in range(10, 50)]
    own = SeenAtoms()
    own.add(of_result("\n".join(lines), []))
    assert origin_of(lines[3], of_task(""), own.held) == OWN
    for n in range(10, 50):
        mixed = f"DE{n:02d} 37{(n + 1) % 40 + 10:02d} 04{n:02d} 53{(n + 7) % 40 + 10:02d}"
        assert mixed in lines or origin_of(mixed, of_task(""), own.held) == NONE


def test_long_texts_take_no_longer_than_they_are() -> None:
    long = of_task("a, b " * 50_000)
    assert "a, b a" in long
    assert "a b" not in long
    assert not any(f"{n}" in long for n in range(1000))


TEXTS = st.text(alphabet="ab1 .,:;'\"()<>@/$-\n\u00df\u00c5\u2019", max_size=24)


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(text=TEXTS, data=st.data())
def test_a_named_value_stands_in_the_text_and_what_untraces_finds_it(text: str, data: Any) -> None:
    """What an own result traces is in it letter by letter, and external where others may have written the same."""
    start = data.draw(st.integers(0, len(text)))
    value = text[start : data.draw(st.integers(start, len(text)))]
    own = SeenAtoms()
    own.add(of_result(text, []))
    if origin_of(value, of_task(""), own.held) != OWN:
        return
    assert unicodedata.normalize("NFC", value) in " ".join(unicodedata.normalize("NFC", text).split())
    assert Wording(text).holds(value)
    both = SeenAtoms()
    both.add(of_result(text, []))
    both.add(of_result(text.upper(), ["untrusted"]))
    assert origin_of(value, of_task(""), both.held) == EXTERNAL
