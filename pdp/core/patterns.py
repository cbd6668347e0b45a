"""Well-known formats of credentials, and characters that people cannot see.

Precision over recall: each pattern is a documented prefix with a length, so a hit is worth a denial. All run in
linear time on hostile text: repeats are bounded, or cannot start inside their own run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pattern:
    """One format. `kind` is the finding's kind, `name` its detail."""

    kind: str  # "secret" | "bearer_token"
    name: str
    text: re.Pattern[str]


def _secret(name: str, text: str) -> Pattern:
    return Pattern("secret", name, re.compile(text))


_START = r"(?<![A-Za-z0-9])"
_END = r"(?![A-Za-z0-9])"

PATTERNS = (
    _secret("private_key", r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"),
    _secret("aws_access_key", rf"{_START}(?:AKIA|ASIA)[A-Z2-7]{{16}}{_END}"),
    _secret("github_token", rf"{_START}gh[pousr]_[A-Za-z0-9]{{36}}"),
    _secret("github_token", rf"{_START}github_pat_[A-Za-z0-9]{{22}}_[A-Za-z0-9]{{59}}"),
    _secret("gitlab_token", rf"{_START}glpat-[A-Za-z0-9_-]{{20}}"),
    _secret("slack_token", rf"{_START}xox[abeoprs]-[A-Za-z0-9-]{{10}}"),
    _secret("slack_token", rf"{_START}xapp-\d-[A-Z0-9]{{8,16}}-\d{{6,20}}-[a-f0-9]{{16}}"),
    _secret("slack_webhook", r"https://hooks\.slack\.com/services/T[A-Z0-9]{6,16}/B[A-Z0-9]{6,16}/[A-Za-z0-9]{16}"),
    _secret("google_api_key", rf"{_START}AIza[0-9A-Za-z_-]{{35}}(?![0-9A-Za-z_-])"),
    _secret("google_client_secret", rf"{_START}GOCSPX-[A-Za-z0-9_-]{{28}}"),
    _secret("stripe_key", rf"{_START}[rs]k_live_[A-Za-z0-9]{{24}}"),
    _secret("npm_token", rf"{_START}npm_[A-Za-z0-9]{{36}}"),
    _secret("pypi_token", rf"{_START}pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{{50}}"),
    _secret("anthropic_key", rf"{_START}sk-ant-[a-z0-9]{{3,8}}-[A-Za-z0-9_-]{{40}}"),
    _secret("openai_key", rf"{_START}sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{{40}}"),
    Pattern("bearer_token", "google_oauth", re.compile(rf"{_START}ya29\.[A-Za-z0-9_-]{{20}}")),
    Pattern(
        "bearer_token",
        "jwt",
        re.compile(
            r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{4,}\.(?:[A-Za-z0-9_-]{8}|(?![^\s\"',;]))"
        ),
    ),
    Pattern(
        "bearer_token",
        "bearer",
        # needs a digit: "Bearer authentication-documentation" is prose
        re.compile(rf"(?i:{_START}bearer)[ \t]{{1,8}}(?=[A-Za-z._~+/=-]{{0,63}}\d)[A-Za-z0-9._~+/-]{{16}}"),
    ),
)

# every pattern begins with one of these, so most text is passed over at once
_HINT = re.compile(
    r"-----BEGIN|AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|xapp-|hooks\.slack|AIza|GOCSPX-|[rs]k_live_|npm_"
    r"|pypi-|sk-|ya29\.|eyJ|[Bb][Ee][Aa][Rr][Ee][Rr][ \t]"
)


def secrets_in(text: str) -> tuple[Pattern, ...]:
    """The formats that stand in `text`, each name once."""
    if _HINT.search(text) is None:
        return ()
    return tuple({p.name: p for p in PATTERNS if p.text.search(text)}.values())


# what a credential goes on with, once its first characters have shown it
_TAIL = re.compile(r"[A-Za-z0-9._~+/=-]*")


def secret_spans(text: str) -> Iterator[tuple[Pattern, int, int]]:
    """Every credential in `text`: its format, where it begins, and where the run of its characters ends."""
    for pattern in PATTERNS if _HINT.search(text) is not None else ():
        end = 0
        for match in pattern.text.finditer(text):
            if match.start() >= end:  # or it stands in the run before
                end = end_of_token(text, match.end())
                yield pattern, match.start(), end


def end_of_token(text: str, begun: int) -> int:
    """The end of the run of token characters that goes on at `begun`."""
    tail = _TAIL.match(text, begun)
    return begun if tail is None else tail.end()


def secret_in(text: str) -> Pattern | None:
    """The first format that stands in `text`."""
    return next(iter(secrets_in(text)), None)


_HIDDEN = (
    ("bidi", "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"),
    ("zero_width", "\u00ad\u034f\u180e\u200b-\u200d\u2060-\u2064\ufeff"),
    ("tags", "\U000e0000-\U000e007f"),
    # U+FE0F (show as emoji) is in everyday text
    ("variation_selector", "\ufe00-\ufe0e\U000e0100-\U000e01ef"),
    ("filler", "\u115f\u1160\u3164\uffa0\u206a-\u206f\ufff9-\ufffb"),
    ("control", "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"),
)
ANY_HIDDEN = re.compile("[" + "".join(ranges for _, ranges in _HIDDEN) + "]")
_EACH_HIDDEN = tuple((name, re.compile(f"[{ranges}]")) for name, ranges in _HIDDEN)


def hidden_in(text: str) -> tuple[str, ...]:
    """The classes of invisible or direction-changing characters in `text`."""
    if ANY_HIDDEN.search(text) is None:
        return ()
    return tuple(name for name, ranges in _EACH_HIDDEN if ranges.search(text))
