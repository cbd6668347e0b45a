"""Made-up arguments for builtins, from the types that rego/capabilities.json declares: the edges, again and again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

TEXTS = [
    *(
        "",
        "a",
        "A",
        "abc",
        "aé",
        "é",
        "ß",
        "\u0131",
        "\u0130",
        "K",
        "ΑΣ",
        "日本",
        "\U0001f600",
        "e\u0301",
        " a ",
        "\t\n",
        "\0",
    ),
    *("a.b", "a/b", "a:b:c", "a-b", "a,b", "1", "-1", "1.5", "1e3", "0x10", "1_000", "+1", "01", " 1", "Inf", "NaN"),
    *("10.0.0.0/8", "10.1.2.3", "10.1.0.0/16", "::1", "::ffff:10.1.2.3", "::ffff:0:0/96", "::/0", "0.0.0.0/0"),
    *("10.0.0.1/8", "10.0.0.0/33", "010.0.0.1", "fe80::1%eth0", "10.1", "1.2.3", "v1.2.3", "1.2.3-alpha.1+b", "1.2"),
    *("2024-01-02T03:04:05Z", "2024-02-30T03:04:05Z", "2024-01-02T03:04:05.123456789+05:30", "2024-01-02t03:04:05z"),
    *("YQ==", "YQ", "_-", "616", "61", '{"a":1}', "[1,2", '{"a":1,"a":2}', '"\\ud800"', "null", "true", "1e400"),
]
NUMBERS = [0, 1, -1, 2, 3, 5, 10, 64, 255, 1000, 2**53, 2**53 + 1, 2**62, -(2**62), 1.5, -1.5, 0.5, 2.5, -0.5, 100.0]
INSTANTS = [0, -1, 1_704_164_645_000_000_000, 1_709_164_645_123_456_789, 1_782_907_200 * 10**9, 4 * 10**18]
ZONES = ["UTC", "", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Nowhere/X"]
DELIMITERS = [None, [], ["."], ["/"], [".", "/"]]
VERSIONS = ["1.2.3", "1.2.4", "1.10.0", "1.2.3-alpha.1", "1.2.3-alpha.beta", "1.2.3+b", "v1.2.3", "1.2", "x"]
PATTERNS = ["^a.c$", "[0-9]+", "(a|b)+c?", "^[^/]+$", "a{1,3}", "(?i)k", r"\.", "[a-z]*"]
GLOBS = ["a*", "*", "*.b", "a/*", "{a,abc}", "[a-c]*", "*:*"]
# what made-up patterns are put together from, some of it refused by the gate
GLOB_PARTS = ["a", "b", "x", "*", "**", ".", "/", "-", ":", ",", "!", "{a,b}", "{a,}", "{,a}", "{a,b*}", "{a}", "{}"]
GLOB_PARTS += ["[a-c]", "[!a]", "[ab]", "[a-]", "[-a]", "{a/b,b}", "é", " ", "^", "$", "(", "|", "+", "?", "{a b,x}"]
PATTERN_PARTS = ["a", "b", "x", ".", "*", "+", "?", "^", "$", "(", ")", "|", "[a-c]", "[^a]", "{2}", "{1,2}", "(?:"]
PATTERN_PARTS += [
    "(?i)",
    "(?i:",
    r"\\.",
    "/",
    "-",
    "[.]",
    r"\\n",
    "*?",
    "()",
    r"\\A",
    r"\\z",
    "(?s)",
    "(?m)",
    "é",
    "[é-ö]",
    "(?im:",
]
MATCHED = [
    "",
    "a",
    "b",
    "ab",
    "abc",
    "a.b",
    "a/b",
    "a/b/c",
    "aab",
    "xa.b",
    ".",
    "/",
    "a-",
    "-",
    "a:b",
    "/x",
    "a/x",
    "é",
    "aé",
    "A",
]
MATCHED += ["{a}", "a,b", "*", "\n", "a\nb", "[a]", "!", "b/", "//", ".a", "..", "a b", "b-a.a", "./x", "-/-xb"]
_KEYS = ["a", "b", "c", "é", ""]


class Maker:
    """Arguments for one builtin, the same in every run."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.random = random.Random(name)

    def call(self, declared: list[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[Any]]:
        """Arguments of one call; of each whether it is to be handed over as a `set` or as it is."""
        made = [self._argument(i, kind) for i, kind in enumerate(declared)]
        return tuple(shape for shape, _ in made), [value for _, value in made]

    def _argument(self, place: int, kind: Mapping[str, Any]) -> tuple[str, Any]:
        special = {
            ("glob.match", 0): GLOBS,
            ("glob.match", 1): DELIMITERS,
            ("regex.match", 0): PATTERNS,
            ("semver.compare", 0): VERSIONS,
            ("semver.compare", 1): VERSIONS,
            ("numbers.range", 0): [0, 1, -3, 5, 1.5],
            ("numbers.range", 1): [0, 2, -1, 9],
        }
        if (self.name, place) in special:
            return "is", self.random.choice(special[self.name, place])
        if self.name == "graph.reachable" and place == 0:
            return "is", {key: self.random.choices("abcd", k=2) for key in "abc"}
        return self._of(kind)

    def _of(self, kind: Mapping[str, Any]) -> tuple[str, Any]:
        name = kind.get("type", "any")
        if name == "any" and "of" in kind:
            return self._of(self.random.choice(kind["of"]))
        if name == "set":
            return "set", [self._of(kind.get("of", {}))[1] for _ in range(self.random.randrange(5))]
        if name == "array" and "static" in kind:  # an instant with a zone
            return "is", [self.random.choice(INSTANTS), self.random.choice(ZONES)]
        if name == "array":
            return "is", [self._of(kind.get("dynamic", {}))[1] for _ in range(self.random.randrange(5))]
        plain: dict[str, list[Any]] = {
            "string": TEXTS,
            "number": INSTANTS if self.name.startswith("time.") else NUMBERS,
            "boolean": [True, False],
            "null": [None],
        }
        return "is", self.random.choice(plain[name]) if name in plain else self.anything()

    def anything(self, depth: int = 2) -> Any:
        """Any JSON. Arrays hold one kind, since the order of kinds is a row of the table."""
        choice = self.random.randrange(7 if depth else 5)
        if choice == 5:
            return [self.random.choice(TEXTS) for _ in range(self.random.randrange(4))]
        if choice == 6:
            return {key: self.anything(depth - 1) for key in self.random.sample(_KEYS, self.random.randrange(4))}
        return self.random.choice([self.random.choice(TEXTS), self.random.choice(NUMBERS), True, False, None])
