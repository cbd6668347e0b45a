"""The estimate that budgets are kept in."""

from support.for_each import for_each

from pdp.core.judge.render import tokens, within


@for_each(
    ("text", "estimate"),
    [
        ("", 0),
        ("a", 1),
        ("hello world", 2),
        ("internationalisation", 3),
        ("12345", 2),
        ('{"a":{"b":1}}', 7),
        ("one\n\n    two", 3),
        ("日本語", 3),
        ("\u202e\u200b\x00", 3),
        ("a" * 800, 100),
    ],
)
def test_estimates(text: str, estimate: int) -> None:
    assert tokens(text) == estimate


@for_each("char", [chr(code) for code in range(0x100)])
def test_every_character_counts(char: str) -> None:
    assert tokens(char) == 1
    assert tokens(char * 200) >= 1


@for_each("texts", [("",), ("a b c",), ("a b", "", "c"), ("a " * 50, "b " * 50)])
def test_within_is_what_tokens_says(texts: tuple[str, ...]) -> None:
    together = sum(map(tokens, texts))
    assert [within(limit, *texts) for limit in (together - 1, together, together + 1)] == [False, True, True]
