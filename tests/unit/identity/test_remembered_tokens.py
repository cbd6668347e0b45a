"""What is remembered of a token that was seen before must not outlive its key, nor any other reason to refuse it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import JWKRegistry
from support.environment import StillClock

from pdp.core.call.request import Caller, Role
from pdp.core.check import NS
from pdp.decide.sessions import RememberedTokens
from pdp.store.clock import StoreClock

NOW = 1_800_000_000


async def test_another_key_of_the_same_name_ends_a_token_that_was_seen(world: Any) -> None:
    token = world.token()
    assert await world.code(token) == ""
    impostor = replace(world.signer, key=JWKRegistry.generate_key("OKP", "Ed25519"))
    world.publish(impostor.jwk())
    assert await world.code(token, at=NOW + 1) == "subject.signature"
    assert await world.code(impostor.token(world.claims()), at=NOW + 1) == ""


async def test_a_key_set_read_anew_verifies_anew(world: Any, signers: Any) -> None:
    token = world.token()
    assert await world.code(token) == ""
    world.publish(world.signer.jwk(), signers["RS256"].jwk())
    assert await world.code(token, at=NOW + 1) == ""


async def test_a_key_that_may_no_longer_be_used_so_ends_a_token_that_was_seen(world: Any) -> None:
    token = world.token()
    assert await world.code(token) == ""
    world.publish(world.signer.jwk(use="enc"))
    assert await world.code(token, at=NOW + 1) == "subject.key_unknown"


async def test_a_bad_signature_is_not_remembered_as_good(world: Any) -> None:
    head, claims, _ = world.token().split(".")
    _, _, other = world.token(jti="t-2").split(".")
    for _ in range(2):
        assert await world.code(f"{head}.{claims}.{other}") == "subject.signature"
    assert await world.code(world.token()) == ""
    assert await world.code(f"{head}.{claims}.{other}") == "subject.signature"


@pytest.mark.parametrize("scopes", [0, 600])  # short enough to be remembered, and too long
async def test_a_token_says_the_same_every_time(world: Any, scopes: int) -> None:
    token = world.token(scope=" ".join(f"repo:{i:04}" for i in range(scopes)))
    first, second = await world.identify(token), await world.identify(token)
    assert first.subject.check.ok
    assert first == second
    assert len(first.subject.scopes) == scopes
    assert await world.code(token, at=NOW + 630) == "subject.expired"


async def test_what_is_remembered_of_a_subject_goes_when_it_is_forgotten(world: Any) -> None:
    token, others = world.token(), world.token(sub="somebody-else")
    first, other = await world.identify(token), await world.identify(others)
    assert await world.identify(token) is first
    world.identity.subjects.forget(first.subject.issuer, first.subject.id)
    again = await world.identify(token)
    assert again is not first
    assert again == first
    assert await world.identify(others) is other


async def test_what_only_sessions_that_are_over_can_have_shown_is_forgotten(world: Any) -> None:
    """By time: `idle` without a call, `lifetime` in any case. What is shown meanwhile stays."""
    still = StillClock(NOW * NS)
    idle, lifetime, clock = 60 * NS, 300 * NS, StoreClock(still.wall, still.monotonic, 0)
    forgets = RememberedTokens(world.identity.subjects, clock, idle, lifetime)
    token, others = world.token(), world.token(sub="somebody-else")
    first, other = await world.identify(token, at=NOW), await world.identify(others, at=NOW)
    still.advance(50)
    await forgets()
    assert await world.identify(token, at=NOW + 50) is first
    still.advance(20)
    await forgets()  # of the other one's no call came for 70 seconds
    assert await world.identify(token, at=NOW + 70) is first
    assert await world.identify(others, at=NOW + 70) is not other
    for _ in range(5):
        still.advance(50)
        await forgets()
        again = await world.identify(token, at=clock.now_ns() // NS)
    assert again is not first  # never idle, and older than any session


async def test_what_is_no_text_is_malformed(world: Any) -> None:
    assert await world.code(f"{world.token()}\ud800") == "subject.malformed"


async def test_each_time_of_a_token_that_was_seen_is_looked_at_again(world: Any) -> None:
    token = world.token(auth_time=NOW + 20, nbf=NOW + 10, iat=NOW - 100)
    assert await world.code(token) == ""
    assert await world.code(token, at=NOW - 11) == "subject.claims"  # signed in later than now, beyond the skew
    assert await world.code(token, at=NOW - 21) == "subject.not_yet_valid"
    assert await world.code(token) == ""


async def test_another_tenants_caller_learns_nothing_from_a_token_that_was_seen(world: Any) -> None:
    token = world.token()
    assert await world.code(token) == ""
    stranger = Caller("gateway", "globex", frozenset({Role.DECIDE}), frozenset({"*"}))
    assert await world.code(token, caller=stranger) == "subject.tenant"
    assert await world.code(token, audiences=("https://other.example/mcp",)) == "subject.audience"
