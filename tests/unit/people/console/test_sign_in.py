"""Sessions: their cookie, their end, and where one is sent afterwards."""

from typing import Any

import pytest
from support.console_client import APPROVAL, ISSUER, KEY, OURS, ConsoleClient
from support.environment import SeededEntropy
from support.for_each import for_each

from pdp.core.errors import ConfigurationFault, Forbidden
from pdp.people.console.options import ConsoleOptions
from pdp.people.console.server import ConsoleServer
from pdp.people.console.signin import onward
from pdp.people.seal import Seal

SESSION = "__Host-pdp-session"


async def test_the_cookie_is_kept_from_scripts_other_sites_and_plain_http(console: ConsoleClient) -> None:
    answer = await console.client.post("/signin/development", data={"account": "bob"}, headers=OURS)
    cookie = next(each for each in answer.headers.get_list("set-cookie") if each.startswith(SESSION))
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert attributes == {"httponly", "secure", "samesite=strict", "path=/"}


async def test_each_sign_in_has_a_session_of_its_own(console: ConsoleClient) -> None:
    await console.sign_in()
    first = console.client.cookies[SESSION]
    await console.sign_in()
    assert console.client.cookies[SESSION] != first


async def test_what_lies_in_the_cookie_cannot_be_read_or_changed(console: ConsoleClient) -> None:
    await console.sign_in()
    sealed = console.client.cookies[SESSION]
    assert "bob" not in sealed
    for i in (0, len(sealed) // 2, len(sealed) - 2):
        changed = sealed[:i] + ("A" if sealed[i] != "A" else "B") + sealed[i + 1 :]
        console.client.cookies.set(SESSION, changed)
        assert (await console.client.get("/queue", headers={"cookie": f"{SESSION}={changed}"})).status_code == 303


def session_of(
    provider: str = "", tenant: str = "acme", account: str = "bob", issuer: str = ISSUER
) -> dict[str, Any]:
    """A session that never ends, as it is sealed."""
    who = {"tenant": tenant, "account": {"issuer": issuer, "id": account}, "authenticated_ns": 0}
    return {"id": "1", "provider": provider, "expires_ns": 2**62, "signed_in": who}


async def test_what_was_sealed_for_something_else_is_no_session(console: ConsoleClient) -> None:
    entropy = SeededEntropy("x")
    for key, purpose in ((KEY, "console sign-in 1"), (KEY, "console session 1"), (bytes(32), "console session 2")):
        sealed = Seal([key], purpose, entropy).close(session_of())
        assert (await console.client.get("/queue", headers={"cookie": f"{SESSION}={sealed}"})).status_code == 303
    whole = Seal([KEY], "console session 2", entropy).close(session_of())
    assert (await console.client.get("/queue", headers={"cookie": f"{SESSION}={whole}"})).status_code == 200
    for change in ({"tenant": "else"}, {"account": "eve"}, {"issuer": "https://x.example"}, {"provider": "gone"}):
        # the configuration says otherwise now
        moved = Seal([KEY], "console session 2", entropy).close(session_of(**change))
        assert (await console.client.get("/queue", headers={"cookie": f"{SESSION}={moved}"})).status_code == 303


async def test_who_never_proved_when_is_told_why_not(console: ConsoleClient) -> None:
    sealed = Seal([KEY], "console session 2", SeededEntropy("x")).close(session_of())
    page = await console.client.get(f"/requests/{APPROVAL.id}", headers={"cookie": f"{SESSION}={sealed}"})
    assert "auth_time" in page.text
    assert 'name="choice"' not in page.text


async def test_a_session_ends_at_its_time_whatever_one_does(console: ConsoleClient) -> None:
    await console.sign_in()
    console.clock.pass_minutes(59)
    assert (await console.client.get("/queue")).status_code == 200
    console.clock.pass_minutes(1)
    assert (await console.client.get("/queue")).status_code == 303


async def test_signing_out_ends_the_session_for_a_copied_cookie_too(console: ConsoleClient) -> None:
    await console.sign_in()
    copied = console.client.cookies[SESSION]
    form = await console.form("/queue", "/signout")
    refused = await console.post("/signout", {"csrf": "x"})
    assert refused.status_code == 403
    answer = await console.post("/signout", form)
    assert answer.status_code == 303
    assert SESSION not in console.client.cookies
    assert (await console.client.get("/queue", headers={"cookie": f"{SESSION}={copied}"})).status_code == 303


async def test_a_disabled_person_is_out_at_the_next_request(console: ConsoleClient) -> None:
    await console.sign_in()

    async def disabled(_found: object) -> None:
        raise Forbidden("person.inactive", "This account is disabled.")

    console.parts.approvals.persons.signed_in = disabled  # type: ignore[method-assign] - the directory changed
    answer = await console.client.get("/queue")
    assert answer.status_code == 403
    assert "person.inactive" in answer.text
    assert (
        await console.client.post("/signin/development", data={"account": "bob"}, headers=OURS)
    ).status_code == 403


@pytest.mark.parametrize(
    "target",
    [
        "", "//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil", "javascript:alert(1)", "queue",
        "/a\nb", "/" + "x" * 2000, "/é", " /queue", "/\t/evil.example",
    ],
)  # fmt: skip
async def test_nobody_is_led_elsewhere(console: ConsoleClient, target: str) -> None:
    assert onward(target) == "/queue"
    data = {"account": "bob", "next": target}
    answer = await console.client.post("/signin/development", data=data, headers=OURS)
    assert 'content="0;url=/queue"' in answer.text


async def test_one_is_led_back_to_where_one_was(console: ConsoleClient) -> None:
    data = {"account": "bob", "next": "/requests/1?all=1"}
    answer = await console.client.post("/signin/development", data=data, headers=OURS)
    assert 'content="0;url=/requests/1?all=1"' in answer.text


async def test_only_configured_accounts_and_providers(console: ConsoleClient) -> None:
    answer = await console.client.post("/signin/development", data={"account": "eve"}, headers=OURS)
    assert answer.status_code == 404
    assert (await console.client.get("/signin/elsewhere")).status_code == 404
    assert (await console.client.get("/signin/elsewhere/callback?code=1&state=2")).status_code == 404


async def test_signing_in_is_not_for_forms_of_others(console: ConsoleClient) -> None:
    headers = {**OURS, "origin": "https://evil.example"}
    answer = await console.client.post("/signin/development", data={"account": "bob"}, headers=headers)
    assert answer.status_code == 403
    assert SESSION not in console.client.cookies


BASE = {
    "public_url": "https://approvals.acme.example",
    "behind_proxy": True,
    "providers": [
        {"name": "staff", "label": "Staff", "issuer": "https://id.example", "tenant": "acme", "client_id": "pdp"}
    ],
}
PLAIN = {"public_url": "http://localhost:1", "behind_proxy": False}
ACCOUNT = {"name": "bob", "label": "Bob", "tenant": "acme", "issuer": "https://id.example", "id": "bob"}


@for_each(
    "change",
    [
        {"public_url": "http://approvals.acme.example"},
        {"public_url": "https://approvals.acme.example/console"},
        {"public_url": "https://bob@approvals.acme.example"},
        {"public_url": "https://approvals.acme.example?x"},
        {"public_url": "ftp://approvals.acme.example"},
        {"public_url": "https://approvals.acme.example:99999"},
        {"providers": []},
        {"providers": [{**BASE["providers"][0], "issuer": "http://id.example"}]},
        {"providers": [{**BASE["providers"][0], "issuer": "https://id.example?x=1"}]},
        {"providers": [BASE["providers"][0], BASE["providers"][0]]},
        {"providers": [{**BASE["providers"][0], "name": "../x"}]},
        {"behind_proxy": False},
        {"unknown": 1},
    ],
)
def test_options_that_cannot_be_safe_are_refused(change: dict[str, object]) -> None:
    ConsoleOptions.model_validate(BASE)
    with pytest.raises(ValueError, match=r".+"):
        ConsoleOptions.model_validate({**BASE, **change})


@pytest.mark.parametrize(
    ("change", "more", "code"),
    [
        ({"development_accounts": [ACCOUNT]}, {"production": True}, "console.development_accounts"),
        ({}, {"key": b"short"}, "config.secret"),
        ({"public_url": "http://localhost:1", "behind_proxy": False, "listen": "0.0.0.0:1"}, {}, "config.plaintext"),
        (
            {"public_url": "http://localhost:1", "behind_proxy": False, "listen": "localhost:1"},
            {},
            "config.plaintext",
        ),
        ({"listen": "nowhere"}, {}, "config.listen"),
        ({"listen": "127.0.0.1:99999"}, {}, "config.listen"),
        ({"tls": {"certificate_file": "/nowhere.pem", "key_file": "/nowhere.key"}}, {}, "config.tls"),
    ],
)
async def test_what_cannot_be_served_safely_is_not_served(
    console: ConsoleClient, change: dict[str, object], more: dict[str, object], code: str
) -> None:
    options = ConsoleOptions.model_validate({**BASE, **change})
    with pytest.raises(ConfigurationFault) as caught:
        ConsoleServer(options, console.parts, **{"key": KEY, "secrets": {}, "production": False, **more})
    assert caught.value.code == code
