"""Claims without their token: only from a caller that may vouch for the issuer, and never better than that."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pdp.core.call.request import AssertedClaims, Caller, MayAssert, Role

NOW = 1_800_000_000
ISSUER = "https://issuer.example"


def caller(*, tenant: str = "acme", **may: Any) -> Caller:
    may_assert = MayAssert(**{"claims": (ISSUER,), **may})
    return Caller("gateway", tenant, frozenset({Role.DECIDE}), frozenset({"*"}), may_assert=may_assert)


def asserted(
    claims: dict[str, Any] | bytes | None = None, *, issuer: str = ISSUER, subject: str = "bob"
) -> AssertedClaims:
    raw = claims if isinstance(claims, bytes) else b"" if claims is None else json.dumps(claims).encode()
    return AssertedClaims(issuer, subject, raw)


async def test_vouched_claims_say_so(world: Any) -> None:
    claims = {"client_id": "assistant", "scope": "a", "groups": ["admins"], "amr": ["pwd"], "act": {"sub": "planner"}}
    found = await world.identify(asserted(claims), caller=caller(groups=True))
    assert (found.subject.check.ok, found.subject.source, found.agent.source) == (True, "vouched", "vouched")
    assert (found.subject.id, found.subject.groups, found.subject.scopes) == ("bob", ("admins",), ("a",))
    assert (found.agent.id, [a.id for a in found.actors]) == ("assistant", ["planner"])
    assert (found.subject.issued_ns, found.subject.expires_ns, found.subject.authenticated_ns) == (0, 0, 0)


async def test_groups_need_their_own_permission(world: Any) -> None:
    found = await world.identify(asserted({"groups": ["admins"]}), caller=caller())
    assert found.subject.check.ok
    assert found.subject.groups == ()


async def test_empty_claims_name_a_subject_and_no_agent(world: Any) -> None:
    found = await world.identify(asserted(), caller=caller())
    assert (found.subject.id, found.subject.kind) == ("bob", "unknown")
    assert found.agent.check.code == "agent.missing"


async def test_bound_claims_are_vouched_for_without_their_binding(world: Any) -> None:
    """A caller that verified the proof leaves `cnf` out; one that passes on whatever it reads does not."""
    assert await world.code(asserted({"cnf": {"jkt": "A" * 43}}), caller=caller()) == "subject.unbound"
    assert await world.code(asserted({}), caller=caller()) == ""


async def test_not_vouchable(world: Any) -> None:
    assert await world.code(asserted(), caller=caller(claims=())) == "subject.not_vouchable"
    assert (
        await world.code(asserted(issuer="https://x.example"), caller=caller(groups=True)) == "subject.not_vouchable"
    )


async def test_an_issuer_of_another_tenant_is_not_vouchable(world: Any) -> None:
    assert await world.code(asserted(), caller=caller(tenant="globex")) == "subject.tenant"


async def test_an_issuer_that_is_not_configured_can_be_vouched_for(world: Any) -> None:
    found = await world.identify(asserted(issuer="https://x.example"), caller=caller(claims=("https://x.example",)))
    assert (found.subject.check.ok, found.subject.issuer) == (True, "https://x.example")


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        (b"[]", "subject.malformed"),
        (b'{"a":1,"a":1}', "subject.malformed"),
        (b'{"a":"' + b"x" * 20_000 + b'"}', "subject.malformed"),
        ({"iss": "https://x.example"}, "subject.claims"),
        ({"sub": "alice"}, "subject.claims"),
        ({"groups": "admins"}, "subject.claims"),
        ({"exp": NOW - 31}, "subject.expired"),
        ({"nbf": NOW + 31}, "subject.not_yet_valid"),
        ({"iat": NOW, "exp": NOW + 901}, "subject.lifetime"),
        ({"aud": "https://x.example"}, "subject.audience"),
        ({"aud": "https://pdp.example"}, "subject.audience"),
        ({"jti": "t-7"}, "subject.revoked"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_the_claims_say_is_checked(world: Any, tmp_path: Any, claims: Any, code: str) -> None:
    (tmp_path / "revoked").write_text("t-7\n")
    world.options["revoked_jti_file"] = tmp_path / "revoked"
    assert await world.code(asserted(claims), caller=caller(groups=True)) == code


async def test_a_vouched_subject_needs_a_name(world: Any) -> None:
    assert await world.code(asserted(subject=""), caller=caller()) == "subject.claims"


async def test_a_lost_deny_list_stops_vouched_claims_too(world: Any, tmp_path: Any) -> None:
    deny = tmp_path / "revoked"
    deny.write_text("t-1\n")
    world.options["revoked_jti_file"] = deny
    assert await world.code(asserted(), caller=caller()) == ""
    deny.unlink()
    assert await world.code(asserted(), caller=caller(), at=NOW + 3600) == ""
    assert await world.code(asserted(), caller=caller(), at=NOW + 3601) == "subject.revocations_unavailable"
