"""Keys over HTTP, from a real server on loopback: rotation, floods, silence, garbage."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

from pdp.core.check import NS
from pdp.core.errors import ConfigurationFault
from pdp.identity.authentication import Authentication
from pdp.identity.keys import MAX_DOCUMENT
from pdp.identity.options import IdentityOptions
from pdp.identity.sources import HttpFetch

NOW = 1_800_000_000
ISSUER = "https://issuer.example"


@pytest.fixture
def remote(world: Any, key_server: Any) -> Any:
    world.issuer.pop("jwks_file")
    world.issuer.update(jwks_url=key_server.url, refresh_seconds=100, retry_seconds=10, max_stale_seconds=300)
    key_server.publish(world.signer.jwk())
    return world


def problem(world: Any, at: int = NOW) -> Any:
    return world.identity.key_status(at * NS)[ISSUER]["problem"]


async def test_keys_are_fetched_once_and_served_from_memory(remote: Any, key_server: Any) -> None:
    assert remote.identity.key_status(NOW * NS)[ISSUER] == {
        "tenant": "acme",
        "source": "url",
        "keys": 0,
        "age_seconds": NOW,
        "problem": "keys.not_fetched",
    }
    for second in range(20):
        assert await remote.code(remote.token(), at=NOW + second) == ""
    assert key_server.hits == 1
    assert remote.identity.key_status((NOW + 19) * NS)[ISSUER] == {
        "tenant": "acme",
        "source": "url",
        "keys": 1,
        "age_seconds": 19,
        "problem": "",
    }


async def test_refresh_fetches_what_is_due(remote: Any, key_server: Any) -> None:
    await remote.identity.refresh(NOW * NS)
    await remote.identity.refresh((NOW + 99) * NS)
    assert key_server.hits == 1
    await remote.identity.refresh((NOW + 100) * NS)
    assert key_server.hits == 2


async def test_rotation_is_found_by_the_unknown_kid(remote: Any, key_server: Any, signers: Any) -> None:
    assert await remote.code(remote.token()) == ""
    key_server.publish(remote.signer.jwk(), signers["ES256"].jwk())
    assert await remote.code(signers["ES256"].token(remote.claims()), at=NOW + 10) == ""
    assert key_server.hits == 2


async def test_a_withdrawn_key_stops_with_the_next_refresh(remote: Any, key_server: Any, signers: Any) -> None:
    assert await remote.code(remote.token()) == ""
    key_server.publish(signers["ES256"].jwk())
    await remote.identity.refresh((NOW + 100) * NS)
    assert await remote.code(remote.token(), at=NOW + 100) == "subject.key_unknown"


async def test_a_flood_of_unknown_kids_is_one_fetch_per_interval(remote: Any, key_server: Any) -> None:
    assert await remote.code(remote.token()) == ""
    for number in range(30):
        token = remote.signer.token(remote.claims(), kid=f"made-up-{number}")
        assert await remote.code(token, at=NOW + 10 + number % 10) == "subject.key_unknown"
    assert key_server.hits == 2


async def test_requests_that_wait_share_one_fetch(remote: Any, key_server: Any) -> None:
    codes = await asyncio.gather(*(remote.code(remote.token()) for _ in range(20)))
    assert codes == [""] * 20
    assert key_server.hits == 1


async def test_a_cancelled_request_leaves_the_fetch_to_the_others(remote: Any, key_server: Any) -> None:
    first = asyncio.create_task(remote.code(remote.token()))
    second = asyncio.create_task(remote.code(remote.token()))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ""
    assert key_server.hits == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_old_keys_serve_while_the_server_is_down_but_not_for_ever(remote: Any, key_server: Any) -> None:
    remote.issuer["max_lifetime_seconds"] = 7200
    token = remote.token(exp=NOW + 7000)
    assert await remote.code(token) == ""
    key_server.status = 503
    await remote.identity.refresh((NOW + 100) * NS)
    assert problem(remote, NOW + 100) == "keys.refused"
    assert await remote.code(token, at=NOW + 300) == ""
    await remote.identity.refresh((NOW + 300) * NS)  # wait for the attempt that this began
    assert await remote.code(token, at=NOW + 320) == "subject.keys_unavailable"
    key_server.status = 200
    assert await remote.code(token, at=NOW + 325) == "subject.keys_unavailable"  # too early to ask again
    assert await remote.code(token, at=NOW + 340) == ""
    assert problem(remote, NOW + 340) == ""


async def test_stale_keys_do_not_make_requests_wait(remote: Any, key_server: Any) -> None:
    assert await remote.code(remote.token()) == ""
    key_server.hang = True
    key_server.arrived.clear()
    assert await remote.code(remote.token(), at=NOW + 150) == ""
    assert await asyncio.to_thread(key_server.arrived.wait, 10)  # and yet a fetch is under way
    await remote.identity.close()


@pytest.mark.parametrize(
    ("breakage", "code"),
    [
        ({"body": b"<html>sign in</html>"}, "keys.malformed"),
        ({"body": b'{"keys": ['}, "keys.malformed"),
        ({"body": b" " * (MAX_DOCUMENT + 1)}, "keys.too_large"),
        ({"body": b" " * 5_000_000}, "keys.too_large"),
        ({"status": 404}, "keys.refused"),
        ({"status": 204, "body": b""}, "keys.refused"),
        ({"status": 302, "headers": {"location": "/elsewhere"}}, "keys.refused"),
        (
            {"body": gzip.compress(b" " * 50_000_000, mtime=0), "headers": {"content-encoding": "gzip"}},
            "keys.refused",
        ),
        ({"body": b'{"keys": [], "pdp:development": true}'}, "keys.development"),
        ({"body": b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'}, "keys.private"),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_what_is_not_a_key_set_gives_no_keys(remote: Any, key_server: Any, breakage: Any, code: str) -> None:
    for name, value in breakage.items():
        setattr(key_server, name, value)
    assert await remote.code(remote.token()) == "subject.keys_unavailable"
    assert problem(remote) == code
    assert key_server.hits == 1


async def test_a_server_that_hangs_or_is_gone(remote: Any, key_server: Any) -> None:
    key_server.hang = True
    options = IdentityOptions.model_validate(remote.options)
    remote._identity = Authentication(options, production=True, fetch=HttpFetch(timeout_seconds=0.2))
    assert await remote.code(remote.token()) == "subject.keys_unavailable"
    assert problem(remote) == "keys.unreachable"
    remote.issuer["jwks_url"] = "http://127.0.0.1:9/jwks"
    remote._identity = None
    assert await remote.code(remote.token()) == "subject.keys_unavailable"
    assert problem(remote) == "keys.unreachable"
    status = remote.identity.key_status(NOW * NS)[ISSUER]
    assert status["cause"].startswith("cannot be fetched (http://127.0.0.1:9/jwks: ")
    assert "onnect" in status["cause"]


async def test_a_server_that_drips_is_not_waited_for(remote: Any, key_server: Any) -> None:
    key_server.drip, key_server.body = True, b" " * MAX_DOCUMENT
    options = IdentityOptions.model_validate(remote.options)
    remote._identity = Authentication(options, production=True, fetch=HttpFetch(timeout_seconds=0.2))
    assert await remote.code(remote.token()) == "subject.keys_unavailable"
    assert problem(remote) == "keys.unreachable"


async def test_a_clock_that_is_set_back_does_not_stop_fetching(remote: Any, key_server: Any) -> None:
    key_server.status = 503
    assert await remote.code(remote.token(), at=NOW + 5000) == "subject.keys_unavailable"
    key_server.status = 200
    assert await remote.code(remote.token()) == ""
    # requests that began a little earlier than the last attempt cause none of their own
    token = remote.signer.token(remote.claims(), kid="made-up")
    for second in (30, 29, 28):
        assert await remote.code(token, at=NOW + second) == "subject.key_unknown"
    assert key_server.hits == 3


async def test_a_proxy_of_the_environment_is_not_asked(
    remote: Any, key_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert await remote.code(remote.token()) == ""


async def test_closing_ends_a_fetch_under_way(remote: Any, key_server: Any) -> None:
    key_server.hang = True
    waiting = asyncio.create_task(remote.code(remote.token()))
    assert await asyncio.to_thread(key_server.arrived.wait, 10)
    await remote.identity.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_body_is_not_read_beyond_the_limit(key_server: Any) -> None:
    key_server.body = b" " * 5_000_000
    with pytest.raises(ConfigurationFault) as caught:
        await HttpFetch()(key_server.url)
    assert caught.value.code == "keys.too_large"


def test_an_unusable_ca_file_is_refused_at_start(world: Any, tmp_path: Any) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for path in (tmp_path / "ca.pem", tmp_path / "absent.pem"):
        world.issuer.update(jwks_file=None, jwks_url="https://issuer.example/jwks", jwks_ca_file=path)
        with pytest.raises(ConfigurationFault) as caught:
            Authentication(IdentityOptions.model_validate(world.options), production=True)
        assert caught.value.code == "keys.ca_unreadable"
