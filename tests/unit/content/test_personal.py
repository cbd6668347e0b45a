"""Personal data: planted values are found, ordinary results left alone; a switch that is off changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import phonenumbers

from pdp.content.arguments import text_findings
from pdp.content.passages import passages
from pdp.content.personal import COUNTRIES, found_in
from pdp.content.results import inspect
from tests.support.for_each import for_each

ROOT = Path(__file__).parents[3]
SENTENCES = ("Please write to {} today.", "{}", "name: Ada Lovelace; {}; room 4", "Kontakt:\n- {}\n", '{{"x": "{}"}}')


def mails(random: Random) -> Iterator[str]:
    for n in range(40):
        first, last = random.choice(("ada", "b.grace", "o'neil", "x_y", "jo+tag")), random.choice("abcdef") * 3
        yield f"{first}{n}@{last}.{random.choice(('de', 'co.uk', 'com', 'org', 'example-firma.fr'))}"


def phones() -> Iterator[str]:
    kinds = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    forms = (phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.E164)
    for country in (*COUNTRIES, "JP", "BR"):
        for kind in kinds:
            number = phonenumbers.example_number_for_type(country, kind)
            yield from (phonenumbers.format_number(number, form) for form in forms)
            if country in COUNTRIES:
                yield "Tel. " + phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)


def with_luhn(digits: str) -> str:
    return next(f"{digits}{n}" for n in range(10) if luhn(f"{digits}{n}"))


def luhn(digits: str) -> bool:
    pairs = [sum(divmod(2 * int(each), 10)) if place % 2 else int(each) for place, each in enumerate(digits[::-1])]
    return sum(pairs) % 10 == 0


def cards(random: Random) -> Iterator[str]:
    for n in range(15):
        digits = with_luhn(f"{random.choice(('4539', '5412', '4024'))}{random.randrange(10**11):011}")
        yield digits if n % 2 else " ".join(digits[at : at + 4] for at in range(0, 16, 4))


def ibans(random: Random) -> Iterator[str]:
    for country, length in (("DE", 18), ("FR", 23), ("NL", 14), ("GB", 18), ("CH", 17)):
        for _ in range(3):
            bank = "ABNA" if country in ("NL", "GB") else ""
            own = bank + "".join(random.choice("0123456789") for _ in range(length - len(bank)))
            check = 98 - int("".join(str(int(each, 36)) for each in f"{own}{country}00")) % 97
            yield f"{country}{check:02}{own}"


def national(random: Random) -> Iterator[str]:
    """Of each country, their check digits by another way than the product's: by trying."""

    def tried(shape: str, holds: object) -> str:
        while True:
            made = "".join(str(random.randrange(10)) if each == "#" else each for each in shape)
            if holds(made):  # type: ignore[operator] # a predicate
                return made

    def sums(weights: str, modulus: int) -> object:
        numbers = [int(each) for each in weights.split()]
        return lambda made: sum(
            int(d) * w for d, w in zip((c for c in made if c.isdigit()), numbers, strict=False)
        ) % modulus == 0  # fmt: skip

    for _ in range(5):
        yield "SVNR " + tried("####010180", sums("3 7 9 -1 5 8 4 2 1 6", 11))
        yield tried("85.07.30-###.##", lambda m: int(m[-2:]) == 97 - int(f"850730{m[9:12]}") % 97)
        yield tried("756.####.####.##", sums("1 3 1 3 1 3 1 3 1 3 1 3 1", 10))
        yield tried("########", lambda _: True) + "?"
        yield "NHS number " + tried("### ### ####", sums("10 9 8 7 6 5 4 3 2 1", 11))
        yield f"QQ {random.randrange(10, 99)} {random.randrange(10, 99)} 56 C".replace("QQ", "JG")
        yield "BSN: " + tried("#########", sums("9 8 7 6 5 4 3 2 -1", 11))
        yield "PESEL " + tried("###########", sums("1 3 7 9 1 3 7 9 1 3 1", 10))
        yield tried("850730-####", lambda m: luhn(m.replace("-", "")))
        yield f"{random.randrange(100, 665)}-{random.randrange(10, 99)}-{random.randrange(1000, 9999)}"
        yield tried("1 85 07 75 ### ### ##", lambda m: int(m[-2:]) == 97 - int(m.replace(" ", "")[:13]) % 97)


KNOWN = (  # published as examples by those who issue them, or in their documentation
    "Steuer-ID 86095742719",
    "IdNr: 47 036 892 816",
    "RSSMRA85T10A562S",
    "12345678Z",
    "X1234567L",
)


def planted() -> list[str]:
    random = Random(29)
    shown = [each for each in national(random) if not each.endswith("?")]
    return [*mails(random), *phones(), *cards(random), *ibans(random), *shown, *KNOWN]


def test_planted_values_are_found() -> None:
    values = planted()
    assert len(values) >= 200
    missed = [
        value
        for n, value in enumerate(values)
        if not [
            span
            for span in passages(SENTENCES[n % len(SENTENCES)].format(value), of_error=False, countries=COUNTRIES)
            if span.kind == "personal_data"
        ]
    ]
    assert missed == []


def ordinary() -> Iterator[tuple[str, str]]:
    """Code, pages, tables and listings, as a server of files returns them."""
    folders = (("pdp", "*.py"), ("docs", "*.md"), ("rego", "*.rego"), ("deploy", "*.yaml"), ("proto", "*.proto"))
    for folder, pattern in folders:
        for path in sorted((ROOT / folder).rglob(pattern))[:60]:
            yield str(path.relative_to(ROOT)), path.read_text()[:4_000]
    random = Random(7)
    for n in range(20):
        rows, size = range(40), random.randrange
        ends = [f"{size(10**7):>9} Nov {d % 28 + 1:>2} 19:{d % 60:02} file_{d}.py" for d in rows]
        yield f"ls {n}", "\n".join(f"-rw-r--r-- 1 root root {each}" for each in ends)
        stamps = [f"2026-11-23T19:{d % 60:02}:07.{size(10**6):06}Z pid={size(10**5)}" for d in rows]
        yield f"log {n}", "\n".join(f"{each} took 3.1 ms id={size(2**64):016x}" for each in stamps)
        yield f"csv {n}", "\n".join(f"{d},{size(10**9)},{random.random():.6f},{size(10**11)}" for d in rows)
        members = [{"id": size(10**10), "at_ns": size(10**18), "sha": f"{size(2**160):040x}"} for _ in rows]
        yield f"json {n}", json.dumps(members)


def test_ordinary_results_have_almost_none() -> None:
    """With all countries on. A number of 16 digits may be a card's by chance, whether the switch is on or off."""
    results = list(ordinary())
    assert len(results) >= 200
    found = [
        (name, text[span.start : span.end])
        for name, text in results
        for span in passages(text, of_error=False, countries=COUNTRIES, named="text")
        if span.kind == "personal_data"
    ]
    assert len(found) <= 0.01 * len(results), found
    assert {len(each) for _, each in found} <= {16}


def test_a_switch_that_is_off_finds_what_it_found_before() -> None:
    values = " ".join(planted())
    kinds = Counter(span.detail for span in passages(values, of_error=False) if span.kind == "personal_data")
    assert set(kinds) == {"card", "iban"}
    raw = json.dumps({"content": [{"type": "text", "text": text} for _, text in ordinary()][-40:]}).encode()
    inspected = inspect(raw, "", None, max_bytes=1 << 24)
    assert {each.detail for each in inspected.passages if each.kind == "personal_data"} <= {"card", "iban"}
    assert "personal_data" not in {each.kind for each in text_findings({"x": values}, (), ())}


def test_a_number_like_many_others_counts_after_a_word_or_in_a_member_that_is_called_so() -> None:
    bsn = "111222333"
    assert found_in(bsn, "", COUNTRIES) == ()
    for text, named in (
        (f"BSN {bsn}", ""),
        (bsn, "bsn"),
        (bsn, "burger_service_nummer"),
        (f"sofinummer: {bsn}", "x"),
    ):
        assert found_in(text, named, COUNTRIES) == ("national_nl",), (text, named)
    assert found_in(f"BSN {bsn}", "", ("DE",)) == ()  # another country's
    assert found_in("BSN 111222334", "", COUNTRIES) == ()  # its check digit


NOBODYS = [
    "git@github.com:acme/x.git",
    "ada@example.com",
    "noreply@acme.com",
    "https://user@host.acme.com/x",
    "pkg@1.2.3",
    "+1 2 3",
    "2026-11-23 19:10:07",
    "192.168.100.200",
    "v0.30.1234567",
    "000-12-3456",
    "1234-5678-9012",
]


@for_each("text", NOBODYS)
def test_what_is_only_like_it_is_left(text: str) -> None:
    assert found_in(text, "", COUNTRIES) == ()


def test_arguments_tell_kind_and_place_and_no_value() -> None:
    value = {"note": "call +49 30 901820", "to": ["ada@acme.de"], "deep": {"bsn": "111222333"}}
    found = text_findings(value, (), (), COUNTRIES)
    assert {(each.kind, each.pointer, each.detail) for each in found} == {
        ("personal_data", "/note", "phone"),
        ("personal_data", "/to/0", "mail"),
        ("personal_data", "/deep/bsn", "national_nl"),
    }


@for_each("name", ["ada@acme.de", "+49 30 901820", "X1234567L", "JG123456C", "12345678Z", "RSSMRA85T10A562S"])
def test_a_member_that_is_called_so_is_found_and_not_named(name: str) -> None:
    """Nor in the place of what stands within it."""
    value = {"rows": {name: {"by": "bob@acme.com"}}}
    told = {each.pointer for each in text_findings(value, (), (), COUNTRIES)}
    result = inspect(json.dumps(value).encode(), "", None, max_bytes=1 << 16, personal=COUNTRIES)
    assert {each.pointer for each in result.fact.findings} == {"/rows/*", "/rows/*/by"}
    assert "/rows/*/by" in told
    assert name not in repr((told, result.fact))


@for_each("hostile", ["1" * 60_000, "a@" * 30_000, "0 1" * 20_000, "+1 (" * 15_000, "a." * 30_000 + "@"])
def test_hostile_text_ends(hostile: str) -> None:
    found_in(hostile, "", COUNTRIES)
