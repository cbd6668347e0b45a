"""Who asks: certificates, caller tokens, and that nothing serves as both caller token and credential."""

from __future__ import annotations

from typing import Any

import pytest

from pdp.core.call.request import Caller, Peer, Role
from pdp.core.check import NS
from pdp.core.errors import Unauthenticated
from pdp.identity.authentication import Authentication
from pdp.identity.options import IdentityOptions

NOW = 1_800_000_000
ISSUER = "https://issuer.example"
RESOURCE = "https://git.example/mcp"
AUDIENCE = "https://pdp.example"
SPIFFE = "uri:spiffe://acme/gateway"


@pytest.fixture
def callers(world: Any) -> Any:
    world.options["callers"] = {
        "edge": {
            "match": {"sans": [SPIFFE, "dns:Edge.example"]},
            "tenant": "acme",
            "roles": ["decide"],
            "servers": ["git"],
        },
        "agent": {
            "match": {"issuer": ISSUER, "subject": "svc-agent"},
            "tenant": "acme",
            "roles": ["decide", "explain"],
            "servers": ["*"],
            "resources": ["https://agent.example"],
            "may_assert": {"claims": [ISSUER], "task": True},
            "dedupes_redemptions": True,
            "max_worker_kills_per_minute": 2,
        },
        "bystander": {"match": {"sans": ["dns:bystander.example"]}, "tenant": "acme"},
    }
    return world


def caller_claims(world: Any, **changes: Any) -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "sub": "svc-agent",
        "aud": AUDIENCE,
        "iat": NOW - 10,
        "exp": NOW + 600,
        "jti": "c",
        **changes,
    }


async def ask(world: Any, *sans: str, transport: str = "mtls", authorization: str = "") -> Caller:
    found: Caller = await world.identity.callers.authenticate(Peer(transport, sans, authorization), NOW * NS)
    return found


async def refused(world: Any, *sans: str, transport: str = "mtls", authorization: str = "") -> str:
    with pytest.raises(Unauthenticated) as caught:
        await ask(world, *sans, transport=transport, authorization=authorization)
    assert caught.value.message
    if len(authorization) > 20:
        assert authorization.rpartition(" ")[2] not in caught.value.message
    return caught.value.code


@pytest.mark.parametrize("san", [SPIFFE, "dns:edge.example", "dns:EDGE.example"])
async def test_by_certificate(callers: Any, san: str) -> None:
    assert await ask(callers, "dns:unrelated.example", san) == Caller(
        "edge", "acme", frozenset({Role.DECIDE}), frozenset({"git"})
    )


@pytest.mark.parametrize(
    "san", ["uri:spiffe://acme/gateway/x", "uri:spiffe://ACME/gateway", "dns:x.edge.example", SPIFFE[4:]]
)
async def test_other_names_are_unknown(callers: Any, san: str) -> None:
    assert await refused(callers, san) == "caller.unknown"


@pytest.mark.parametrize("transport", ["tls", "loopback", "unix"])
async def test_names_count_only_where_the_transport_verified_them(callers: Any, transport: str) -> None:
    assert await refused(callers, SPIFFE, transport=transport) == "caller.unauthenticated"


async def test_nothing_shown(callers: Any) -> None:
    assert await refused(callers) == "caller.unauthenticated"


@pytest.mark.parametrize("transport", ["tls", "loopback", "unix", "mtls"])
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
async def test_by_token(callers: Any, transport: str, scheme: str) -> None:
    token = callers.signer.token(caller_claims(callers))
    found = await ask(callers, transport=transport, authorization=scheme + token)
    assert (found.name, found.tenant, found.roles) == ("agent", "acme", {Role.DECIDE, Role.EXPLAIN})
    assert (found.fronts("anything"), found.resources) == (True, ("https://agent.example",))
    assert (found.may_assert.claims, found.may_assert.task, found.may_assert.groups) == ((ISSUER,), True, False)
    assert (found.dedupes_redemptions, found.max_worker_kills_per_minute) == (True, 2)


@pytest.mark.parametrize("value", ["{}", "Basic {}", "Bearer", "Bearer {} x", "Bearer\t{}", "Bearer {}\n"])
async def test_other_schemes(callers: Any, value: str) -> None:
    token = callers.signer.token(caller_claims(callers))
    assert await refused(callers, authorization=value.format(token)) in {
        "caller.token_scheme",
        "caller.token_malformed",
    }


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": NOW - 31, "iat": NOW - 100}, "caller.token_expired"),
        ({"nbf": NOW + 31}, "caller.token_not_yet_valid"),
        ({"exp": NOW + 4000}, "caller.token_lifetime"),
        ({"iss": "https://x.example"}, "caller.token_issuer"),
        ({"aud": RESOURCE}, "caller.token_audience"),
        ({"aud": [AUDIENCE, RESOURCE]}, "caller.token_audience"),
        ({"aud": []}, "caller.token_audience"),
        ({"sub": ""}, "caller.token_claims"),
        ({"cnf": {"x5t#S256": "A" * 43}}, "caller.token_unbound"),
        ({"sub": "alice"}, "caller.unknown"),
    ],
    ids=str,
)
async def test_token_refused(callers: Any, changes: dict[str, Any], code: str) -> None:
    token = callers.signer.token(caller_claims(callers, **changes))
    assert await refused(callers, authorization=f"Bearer {token}") == code


async def test_token_signed_by_another_key(callers: Any, signers: Any) -> None:
    honest = callers.signer.token(caller_claims(callers))
    forged = callers.signer.token(caller_claims(callers, sub="x")).rpartition(".")[2]
    assert (
        await refused(callers, authorization=f"Bearer {honest.rpartition('.')[0]}.{forged}")
        == "caller.token_signature"
    )
    stranger = signers["ES256"].token(caller_claims(callers))
    assert await refused(callers, authorization=f"Bearer {stranger}") == "caller.token_key_unknown"


async def test_a_bad_token_is_not_saved_by_a_good_certificate(callers: Any) -> None:
    assert await refused(callers, SPIFFE, authorization="Bearer x") == "caller.token_malformed"


async def test_credentials_of_two_callers_are_ambiguous(callers: Any) -> None:
    token = callers.signer.token(caller_claims(callers))
    assert await refused(callers, SPIFFE, authorization=f"Bearer {token}") == "caller.ambiguous"
    assert await refused(callers, SPIFFE, "dns:bystander.example") == "caller.ambiguous"
    assert (await ask(callers, SPIFFE, "dns:edge.example")).name == "edge"


async def test_a_caller_has_nothing_by_default(callers: Any) -> None:
    found = await ask(callers, "dns:bystander.example")
    assert (found.roles, found.servers, found.resources) == (frozenset(), frozenset(), ())
    assert found.may_assert == Caller("", "", frozenset(), frozenset()).may_assert


async def test_an_unreadable_certificate_is_not_saved_by_a_good_token(callers: Any) -> None:
    authorization = f"Bearer {callers.signer.token(caller_claims(callers))}"
    with pytest.raises(Unauthenticated) as caught:
        await callers.identity.callers.authenticate(Peer("mtls", (), authorization, unreadable=True), NOW * NS)
    assert caught.value.code == "caller.certificate"


async def test_an_expired_certificate_is_not_saved_by_a_good_token(callers: Any) -> None:
    authorization = f"Bearer {callers.signer.token(caller_claims(callers))}"
    for sans in ((), (SPIFFE,)):
        peer = Peer("mtls", sans, authorization, until_ns=NOW * NS)
        with pytest.raises(Unauthenticated) as caught:
            await callers.identity.callers.authenticate(peer, NOW * NS)
        assert caught.value.code == "caller.certificate_expired"
    valid = Peer("mtls", (SPIFFE,), until_ns=NOW * NS + 1)
    assert (await callers.identity.callers.authenticate(valid, NOW * NS)).name == (await ask(callers, SPIFFE)).name


HOOKS, APP = "https://hooks.acme.example", "11112222-bbbb-3333-cccc-4444dddd5555"


@pytest.fixture
def webhook(callers: Any) -> Any:
    """A caller whose issuer makes tokens for an application, not for us."""
    match = {"issuer": ISSUER, "subject": "principal", "audience": HOOKS, "client": APP}
    callers.options["callers"]["studio"] = {"match": match, "tenant": "acme"}
    return callers


@pytest.mark.parametrize("claim", ["azp", "appid", "client_id"])
async def test_a_caller_by_the_audience_and_client_of_an_application(webhook: Any, claim: str) -> None:
    token = webhook.signer.token(caller_claims(webhook, sub="principal", aud=HOOKS, **{claim: APP}))
    assert (await ask(webhook, authorization=f"Bearer {token}")).name == "studio"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aud": AUDIENCE, "azp": APP}, "caller.token_audience"),
        ({"aud": [HOOKS, AUDIENCE], "azp": APP}, "caller.token_audience"),
        ({"sub": "svc-agent", "aud": HOOKS, "azp": APP}, "caller.token_audience"),  # another caller's
        ({"sub": "alice", "aud": HOOKS, "azp": APP}, "caller.token_audience"),  # of a person, through the same app
        ({}, "caller.token_client"),
        ({"azp": "another"}, "caller.token_client"),
        ({"azp": APP, "appid": "another"}, "caller.token_client"),
        ({"azp": [APP]}, "caller.token_client"),
    ],
    ids=str,
)
async def test_a_token_of_another_audience_or_client_is_refused(
    webhook: Any, changes: dict[str, Any], code: str
) -> None:
    token = webhook.signer.token(caller_claims(webhook, **{"sub": "principal", "aud": HOOKS, **changes}))
    assert await refused(webhook, authorization=f"Bearer {token}") == code


async def test_a_token_for_a_callers_audience_is_no_subjects(webhook: Any) -> None:
    token = webhook.signer.token(caller_claims(webhook, sub="alice", aud=[HOOKS, RESOURCE], client_id="assistant"))
    found = await webhook.identify(token, audiences=(RESOURCE, HOOKS))
    assert found.subject.check.code == "subject.audience"


@pytest.mark.parametrize("audience", [AUDIENCE, RESOURCE, [AUDIENCE, RESOURCE], [RESOURCE, AUDIENCE]])
async def test_no_token_is_both_a_caller_token_and_a_credential(callers: Any, audience: Any) -> None:
    token = callers.signer.token(caller_claims(callers, aud=audience, client_id="assistant"))
    try:
        await ask(callers, authorization=f"Bearer {token}")
        as_caller = True
    except Unauthenticated:
        as_caller = False
    # even when a registry names the caller audience as a server's resource
    found = await callers.identify(token, audiences=(RESOURCE, AUDIENCE))
    assert not (as_caller and found.subject.check.ok)
    assert as_caller == (audience == AUDIENCE)
    assert found.subject.check.code == ("" if audience == RESOURCE else "subject.audience")


async def test_a_caller_token_is_verified_each_time(callers: Any) -> None:
    authorization = f"Bearer {callers.signer.token(caller_claims(callers))}"
    identity = Authentication(IdentityOptions.model_validate(callers.options), production=True)
    peer = Peer("unix", (), authorization)
    assert (await identity.callers.authenticate(peer, NOW * NS)).name == "agent"
    with pytest.raises(Unauthenticated, match="expired"):
        await identity.callers.authenticate(peer, (NOW + 630) * NS)
