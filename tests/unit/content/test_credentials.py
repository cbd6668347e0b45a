"""One detector: arguments, results and definitions say the same of a text, whatever its spelling.

Credentials are made at run time, of the shapes in `tests/corpora/credentials.json`; none ever opened anything."""

from __future__ import annotations

import base64
import json
import random
import re
import string
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from support.findings import findings
from support.for_each import for_each

from pdp.content.results import inspect
from pdp.core.text.credentials import LAYERS, OwnToken, credentials, kinds_in
from pdp.core.text.injection.patterns import secrets
from pdp.core.text.patterns import PATTERNS
from pdp.core.text.redact import redacted_text

CORPUS = json.loads((Path(__file__).parents[2] / "corpora" / "credentials.json").read_text())
ALPHABETS = {
    "alnum": string.ascii_letters + string.digits,
    "word": string.ascii_letters + string.digits + "_",
    "url": string.ascii_letters + string.digits + "_-",
    "b64": string.ascii_letters + string.digits + "+/",
    "lower": string.ascii_lowercase + string.digits,
    "upper": string.ascii_uppercase + string.digits,
    "base32": string.ascii_uppercase + "234567",
    "letters": string.ascii_letters,
    "hex": "0123456789abcdef",
    "digits": string.digits,
    "json": "",
}


def made(shape: str, seed: str) -> str:
    """A credential of a shape: `{alnum:36}` stands for so many letters and digits."""
    draw = random.Random(seed)

    def part(match: re.Match[str]) -> str:
        kind, size = match[1], int(match[2])
        if kind == "json":
            text = json.dumps({"alg": "ES256", "kid": "".join(draw.choices(ALPHABETS["alnum"], k=size))})
            return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return "".join(draw.choices(ALPHABETS[kind], k=size))

    return re.sub(r"\{(\w+):(\d+)\}", part, shape)


def pieces(text: str) -> str:
    return " ".join(text[at : at + 7] for at in range(0, len(text), 7))


SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": lambda text: text,
    "in a sentence": lambda text: f"please use {text} today, and no other.",
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, for URLs": lambda text: f"see {base64.urlsafe_b64encode(text.encode()).decode().rstrip('=')} there",
    "base64 of JSON": lambda text: base64.b64encode(json.dumps({"value": text}).encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(f"the value is {text} and it goes on".encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "percent signs": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "character references": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "split by blanks": lambda text: f"please use {pieces(text)} today",
    "split by lines": lambda text: pieces(text).replace(" ", "\r\n\t"),
    "split by hidden characters": lambda text: pieces(text).replace(" ", "\u200b"),
    "JSON in JSON": lambda text: json.dumps(json.dumps({"deep": json.dumps({"value": [text]})})),
    "JSON in JSON, escaped": lambda text: json.dumps({"v": "".join(f"\\u{ord(char):04x}" for char in text)}),
}


def in_arguments(text: str) -> set[str]:
    return {each.detail for each in findings({"note": {"deep": [text]}}, None) if each.kind != "hidden_unicode"}


def in_result(text: str) -> set[str]:
    raw = json.dumps({"content": [{"type": "text", "text": text}]}).encode()
    found = inspect(raw, "application/json", None, max_bytes=1 << 20).fact.findings
    return {each.detail for each in found if each.kind in ("secret", "bearer_token", "unread")}


def in_definition(text: str) -> set[str]:
    return {said.partition(": ")[2] for _, said in secrets(text)}


def test_every_format_has_a_shape_and_every_shape_a_name() -> None:
    named = {each["name"] for each in CORPUS["shapes"]}
    assert named - {""} == {pattern.name for pattern in PATTERNS}


def test_the_three_readers_agree() -> None:
    """Of every shape, of what is none, and of the text that they were once of two minds about."""
    table = ["postgres://u:p@host", *(made(each["shape"], each["of"]) for each in CORPUS["shapes"])]
    table += CORPUS["none"]
    differ = [text for text in table if not in_arguments(text) == in_result(text) == in_definition(text)]
    assert differ == []
    assert in_arguments("postgres://u:p@host") == {"connection_string"}


def test_what_is_no_credential() -> None:
    assert [(text, found) for text in CORPUS["none"] if (found := kinds_in(text))] == []


@for_each("reader", [in_arguments, in_result])
def test_found_in_every_spelling_as_often_as_raw(reader: Callable[[str], set[str]]) -> None:
    """The declared figures are those that come out. Raw is what the detector knows of the shapes; no spelling may
    hide one of them, nor tell more."""
    shapes = CORPUS["shapes"]
    figures: Counter[str] = Counter()
    missed = []
    for each in shapes:
        text = made(each["shape"], each["of"])
        for spelling, spelled in SPELLINGS.items():
            found = bool(each["name"]) and each["name"] in reader(spelled(text))
            figures[spelling] += found
            if each["name"] and not found:
                missed.append((each["of"], spelling))
    assert missed == []
    assert figures == dict.fromkeys(SPELLINGS, CORPUS["known"])
    assert CORPUS["known"] == sum(bool(each["name"]) for each in shapes)


def test_own_tokens_are_found_in_every_spelling_and_nothing_of_them_is_kept() -> None:
    token = made("{json:30}.eyJ{url:700}.{url:86}", "own")
    own = (OwnToken("subject", token), OwnToken("caller", "another-" + token))
    for spelling, spelled in SPELLINGS.items():
        found = findings({"note": spelled(token)}, None, own)
        assert ("own_token", "subject") in {(each.kind, each.detail) for each in found}, spelling
        assert "caller" not in {each.detail for each in found}, spelling
        assert token[:12] not in repr(found), spelling
    assert token[:12] not in repr(own)
    assert findings({"note": "a text"}, None, own) == ()


def test_what_is_encoded_more_often_than_is_read_is_said_to_be_unread() -> None:
    text = "the quick brown fox jumps over the lazy dog, and on it goes"
    for layer in range(1, LAYERS + 3):
        text = base64.b64encode(text.encode()).decode()
        assert kinds_in(text) == ((("unread", "encoded"),) if layer > LAYERS else ()), layer


def test_a_token_in_encoded_data_is_found() -> None:
    """Where base64 begins, it is read whatever it begins with."""
    token = made("ghp_{alnum:36}", "data")
    encoded = base64.b64encode(b"\x9f\x8b\x1e\xff" * 12 + f" {token} ".encode()).decode()
    for text in (encoded, f"see {encoded} there"):
        assert kinds_in(text) == (("secret", "github_token"),)


def test_places_are_those_of_what_is_to_be_cut_out() -> None:
    token = made("ghp_{alnum:36}", "place")
    encoded = base64.b64encode(f"it is {token}".encode()).decode()
    for spelled in (token, encoded, pieces(token)):
        text = f"before {spelled}, after"
        (found,) = credentials(text)
        assert text[found.start : found.end] == spelled
        assert redacted_text(text) == "before [secret: github_token], after"


def test_every_copy_of_a_token_goes_whatever_its_spelling() -> None:
    token = made("ghp_{alnum:36}", "copies")
    text = "\n\n".join(spelled(token) for spelled in SPELLINGS.values())
    assert credentials(redacted_text(f"{token} and {SPELLINGS['JSON in JSON, escaped'](token)}")) == ()
    shown = redacted_text(text)
    assert credentials(shown) == ()
    assert token[8:28] not in re.sub(r"\s", "", shown)
    assert base64.b64encode(token.encode()).decode()[8:40] not in shown


def test_a_token_behind_the_beginning_of_a_key_goes_too() -> None:
    token = made("ghp_{alnum:36}", "behind")
    assert token not in redacted_text("-----BEGIN " + f"PRIVATE KEY-----\nand {token} too")
