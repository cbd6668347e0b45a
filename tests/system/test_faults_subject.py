"""What goes wrong with the subject's credential: DENY with a code, recorded, and nothing of the unverified claims."""

import dataclasses
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import ALLOW, DENY, ISSUER, SAFE, Refused, Served, ask, codes, make_world, served, until
from shifting import Shifting
from support.for_each import for_each

from devtools.sandbox import ALICE, BOB, Sandbox
from pdp.identity import development
from pdp.local.installation import CALLER_AUDIENCE
from pdp.v1 import decision_pb2, types_pb2

MINUTE = 60 * 10**9


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    world = make_world(tmp_path_factory.mktemp("s") / "w", {"identity": {"revoked_jti_file": "revoked"}})
    (world.folder / "revoked").write_text("# nobody yet\n")
    with served(world) as found:
        yield found


def denied(server: Served, bearer: str, *expected: str) -> tuple[decision_pb2.DecideResponse, dict[str, Any]]:
    """Ask with this token, be denied for these codes, and give answer and record."""
    answer = server.decide(ask(bearer=bearer))
    assert answer.effect == DENY
    assert answer.safe_message == SAFE
    assert not answer.call_digest  # nothing that could be approved
    assert set(expected) <= set(codes(answer))
    record = server.record(answer.decision_id)
    assert (record["kind"], record["effect"]) == ("decision", "deny")
    assert [r["code"] for r in record["reasons"]] == list(codes(answer))
    assert record["decided_by"] == "policy"
    return answer, record


def nobody(record: dict[str, Any], code: str) -> None:
    """The record says why the subject is unknown, and nothing of what the credential claimed."""
    assert record["subject"] == {
        "status": record["subject"]["status"],
        "code": code,
        "issuer": None,
        "id": None,
        "kind": "unknown",
        "source": "none",
        "token_id": None,
    }
    assert record["subject"]["status"] != "ok"
    assert "alice" not in json.dumps(record)


def forged(server: Served, **header: Any) -> str:
    """A token by somebody else's key, under the name of the right one."""
    now = time.time_ns() // 10**9
    claims = development.claims(subject="alice", audience=server.world.server.resource, client_id="coding-agent")
    whole = {**claims, "iat": now, "exp": now + 600, "jti": "forged"}
    named = {"alg": "EdDSA", "kid": server.world.key.kid, "typ": "at+jwt", **header}
    return development.sign(named, whole, development.make_key(bytes(32)))


def test_none(server: Served) -> None:
    answer = server.decide(ask())
    assert answer.effect == DENY
    assert answer.safe_message == SAFE
    assert "subject.missing" in codes(answer)
    nobody(server.record(answer.decision_id), "subject.missing")


@for_each(
    ("case", "code"),
    [
        ("signature", "subject.signature"),
        ("unknown key", "subject.key_unknown"),
        ("alg none", "subject.algorithm"),
        ("alg HS256", "subject.algorithm"),
        ("issuer", "subject.issuer"),
        ("no issuer", "subject.issuer"),
        ("audience", "subject.audience"),
        ("caller's audience too", "subject.audience"),
        ("expired", "subject.expired"),
        ("not yet", "subject.not_yet_valid"),
        ("issued later", "subject.not_yet_valid"),
        ("lifetime", "subject.lifetime"),
        ("no exp", "subject.claims"),
        ("no sub", "subject.claims"),
        ("no jti", "subject.claims"),
        ("junk", "subject.malformed"),
    ],
)
def test_a_token_that_does_not_hold(server: Served, case: str, code: str) -> None:
    world, now = server.world, time.time_ns()
    second = now // 10**9
    resource = world.server.resource
    made = {
        "signature": lambda: forged(server),
        "unknown key": lambda: forged(server, kid="dev-0000000000000000"),
        "alg none": lambda: forged(server, alg="none"),
        "alg HS256": lambda: forged(server, alg="HS256"),
        "issuer": lambda: world.token(ALICE, now, iss="https://evil.example"),
        "no issuer": lambda: world.token(ALICE, now, iss=None),
        "audience": lambda: world.token(ALICE, now, aud="https://mcp.acme.example/other"),
        "caller's audience too": lambda: world.token(ALICE, now, aud=[resource, CALLER_AUDIENCE]),
        "expired": lambda: world.token(ALICE, now - 60 * MINUTE),
        "not yet": lambda: world.token(ALICE, now, nbf=second + 120),
        "issued later": lambda: world.token(ALICE, now + 5 * MINUTE),
        "lifetime": lambda: world.token(ALICE, now, lifetime_seconds=86_400),
        "no exp": lambda: world.token(ALICE, now, exp=None),
        "no sub": lambda: world.token(ALICE, now, sub=None),
        "no jti": lambda: world.token(ALICE, now, jti=None),
        "junk": lambda: "not.a.token",
    }[case]()
    _, record = denied(server, made, code)
    nobody(record, code)


def test_the_same_person_with_a_good_token_is_allowed(server: Served) -> None:
    answer = server.decide()
    assert answer.effect == ALLOW
    assert server.record(answer.decision_id)["subject"]["id"] == "alice"


def test_claims_without_a_token_count_only_from_who_may_vouch(server: Served) -> None:
    request = ask()
    claims = types_pb2.AssertedClaims(issuer=ISSUER, subject="alice", claims_json=b'{"groups": ["developers"]}')
    request.credential.claims.CopyFrom(claims)
    answer = server.decide(request)
    assert answer.effect == DENY
    assert "subject.not_vouchable" in codes(answer)
    nobody(server.record(answer.decision_id), "subject.not_vouchable")


def test_an_agent_that_is_two(server: Served) -> None:
    _, record = denied(server, server.alice(azp="another-agent"), "agent.mismatch")
    assert (record["agent"]["status"], record["agent"]["code"]) == ("failed", "agent.mismatch")
    assert record["agent"]["id"] is None
    assert record["subject"]["id"] == "alice"  # she is who she is; her agent is not


def test_no_agent(server: Served) -> None:
    _, record = denied(server, server.alice(client_id=None), "agent.missing")
    assert record["agent"]["id"] is None


def test_too_long_a_chain_of_actors(server: Served) -> None:
    chain: dict[str, Any] | None = None
    for i in range(6):
        chain = {"sub": f"agent-{i}"} | ({"act": chain} if chain else {})
    _, record = denied(server, server.alice(act=chain), "agent.chain_too_deep")
    assert record["actors"] == []


def test_a_token_is_revoked_while_we_run(server: Served) -> None:
    bearer, other = server.alice(jti="to-be-revoked"), server.alice(jti="another")
    file = server.world.folder / "revoked"
    try:
        assert server.decide(ask(bearer=bearer)).effect == ALLOW
        file.write_text("to-be-revoked\n")
        until(lambda: server.decide(ask(bearer=bearer)).effect == DENY)
        _, record = denied(server, bearer, "subject.revoked")
        nobody(record, "subject.revoked")
        assert server.decide(ask(bearer=other)).effect == ALLOW
        file.write_text("one two three\n")  # broken: the last good list stays
        until(lambda: server.status().key_sets[0].last_failure.code)
        assert server.decide(ask(bearer=other)).effect == ALLOW
        denied(server, bearer, "subject.revoked")
    finally:
        file.write_text("# nobody any more\n")
    until(lambda: server.decide(ask(bearer=bearer)).effect == ALLOW)


def rotate(world: Sandbox, *keep: development.DevelopmentKey) -> Sandbox:
    """The issuer publishes a new key; the old ones are gone unless kept."""
    key = development.make_key(os.urandom(development.SEED_BYTES))
    fresh = world.folder / "issuer" / "jwks.new"
    fresh.write_text(json.dumps(development.jwks([key, *keep])))
    fresh.replace(world.folder / "issuer" / "jwks.json")
    return dataclasses.replace(world, key=key)


def accepted(server: Served) -> bool:
    """True once the caller's own token, by the new key, is taken."""
    try:
        server.status()
    except Refused:
        return False
    return True


def test_keys_are_rotated_while_we_run(tmp_path: Path) -> None:
    first = make_world(tmp_path / "w")
    with served(first) as server:
        early = server.alice()
        assert server.decide(ask(bearer=early)).effect == ALLOW
        server.world = rotate(first, first.key)
        until(lambda: accepted(server))
        assert server.decide(ask(bearer=early)).effect == ALLOW  # the old key is still published
        server.world = rotate(first)
        until(lambda: accepted(server))
        until(lambda: server.decide(ask(bearer=early)).effect == DENY)
        _, record = denied(server, early, "subject.key_unknown")
        nobody(record, "subject.key_unknown")
        assert server.decide().effect == ALLOW
        status = server.status().key_sets[0]
        assert (status.keys, status.last_failure.code) == (1, "")


def test_a_key_file_that_breaks_serves_its_last_good_keys_for_a_while_only(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"service": {"watch_seconds": 0.1}})
    clock = Shifting()
    with served(world, environment=clock.environment()) as server:
        assert server.decide().effect == ALLOW
        (world.folder / "issuer" / "jwks.json").write_text("{")
        clock.pass_seconds(2)
        until(lambda: server.status().key_sets[0].last_failure.code)
        assert server.decide().effect == ALLOW
        clock.pass_seconds(3590)
        assert server.decide().effect == ALLOW
        clock.pass_seconds(20)
        with pytest.raises(Refused) as caught:  # the caller's own token is by the same issuer
            server.decide()
        assert caught.value.code == "caller.token_keys_unavailable"


def test_another_persons_token_is_another_person(server: Served) -> None:
    answer = server.decide(ask("git_reset", bearer=server.person(BOB)))
    assert answer.effect == DENY
    assert "policy.not_granted" in codes(answer)
    assert server.record(answer.decision_id)["subject"]["id"] == "bob"
