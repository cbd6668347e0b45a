"""Resume tokens: only what we sealed, unchanged and in time, opens."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.for_each import for_each

from pdp.core.approvals.redeem import Resume
from pdp.core.rows.approvals import Account
from pdp.people.reach.resume import SealedResumeTokens
from pdp.people.seal import MAX_CHARS, Seal

SAID = Resume("acme", "gw", Account("https://idp", "alice"), "git", "d" * 64, ("a-1", "a-2"), 1_000, ("f" * 64,))


class System:
    def bytes(self, count: int) -> bytes:
        return os.urandom(count)


def tokens(*names: str) -> SealedResumeTokens:
    return SealedResumeTokens([hashlib.sha256(name.encode()).digest() for name in names], System())


OURS = tokens("first")
SEALED = OURS.seal(SAID)


def test_what_was_sealed_opens_until_its_time_is_over() -> None:
    assert OURS.open(SEALED, 999) == SAID
    assert OURS.open(SEALED, 1_000) is None  # at that very instant it is over


def test_a_token_tells_nothing() -> None:
    raw = base64.urlsafe_b64decode(SEALED + "===")
    for said in (b"acme", b"alice", b"git", b"a-1", b"d" * 16):
        assert said not in raw
    assert OURS.seal(SAID) != SEALED


def test_keys_rotate() -> None:
    after = tokens("second", "first")
    assert after.open(SEALED, 1) == SAID
    assert tokens("second").open(SEALED, 1) is None
    assert OURS.open(after.seal(SAID), 1) is None  # sealed with the new key, which the old replica lacks


@given(st.integers(min_value=0, max_value=len(SEALED) - 1), st.characters(codec="ascii"))
def test_a_changed_token_is_none(place: int, character: str) -> None:
    changed = SEALED[:place] + character + SEALED[place + 1 :]
    if OURS.open(changed, 1) is not None:  # the last character of base64 may have bits that say nothing
        assert raw(changed) == raw(SEALED)


def raw(token: str) -> bytes:
    return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)


@given(st.text(max_size=300))
def test_anything_else_is_none(text: str) -> None:
    assert OURS.open(text, 1) is None


WORDS = ["acme", "gw", "https://idp", "alice", "git", "d" * 64, ["a-1"], 1_000]  # as the first release sealed them


@for_each(
    "said",
    [
        WORDS,
        [*WORDS, ["f" * 64]],
        [*WORDS, ["f" * 64], 5, "more"],
        [*WORDS[:-1], "1000", [], 0],
        [*WORDS[:6], [1], 1_000, [], 0],
        [*WORDS, [[]], 0],
        {"tenant": "acme"},
        None,
    ],
)
def test_what_another_release_sealed_in_another_shape_is_none(said: Any) -> None:
    assert OURS.open(sealed([*WORDS, ["f" * 64], 0]), 1) is not None
    assert OURS.open(sealed(said), 1) is None


def sealed(said: Any) -> str:
    """Any JSON, sealed as ours is."""
    return Seal([hashlib.sha256(b"first").digest()], "resume token 1", System()).close(said)


def test_nothing_long_is_looked_at() -> None:
    assert OURS.open(SEALED + "A" * MAX_CHARS, 1) is None
