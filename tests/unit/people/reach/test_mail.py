"""Mail, to a real mail server."""

import smtplib
import socket
from dataclasses import replace
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from support.approvals import AT, approval, make_id
from support.receiver import NAME, Postbox, Resolver, certified, post_office

from pdp.core.approvals.notices import Message, message
from pdp.core.errors import Unavailable
from pdp.core.rows.approvals import Notice
from pdp.host.outgoing import OutgoingHost, trusted
from pdp.people.reach import channels
from pdp.people.reach.channels import Mail

TO = ("ann@acme.example", "bob@acme.example")
ASKED = message(
    Notice(make_id(9), "acme", "mail", "opened", make_id(1), AT), approval(), "https://approvals.example", AT, TO
)


@pytest.fixture
def lookup(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """The server's name leads to 127.0.0.1 once."""
    found = Resolver([["127.0.0.1"]])
    monkeypatch.setattr(socket, "getaddrinfo", found)
    return found


def channel(box: Postbox, tls: Any, **fields: Any) -> Mail:
    known = Mail(
        OutgoingHost(NAME, box.port, internal=True), "starttls", trusted(tls.ca_file, "x"), "pdp@acme.example"
    )
    return replace(known, **fields)


async def refusal(sender: Mail, asked: Message = ASKED) -> str:
    with pytest.raises(Unavailable) as caught:
        await sender.send(asked)
    return caught.value.code


@pytest.mark.parametrize("starttls", [True, False])
async def test_mail_goes_over_tls_to_the_address_that_was_looked_up(
    tmp_path: Path, lookup: Resolver, *, starttls: bool
) -> None:
    tls = certified(tmp_path, NAME)
    async with post_office(tls.server, starttls=starttls) as box:
        await channel(box, tls, security="starttls" if starttls else "tls").send(ASKED)
    (got,) = box.mails
    assert (got.mail_from, tuple(got.rcpt_tos)) == ("pdp@acme.example", TO)
    assert lookup.asked == [NAME]
    assert isinstance(got.content, bytes)
    read = message_from_bytes(got.content, policy=SMTP)
    assert read["subject"] == "An approval is wanted (7F-K2)"
    assert read["auto-submitted"] == "auto-generated"
    assert f"https://approvals.example/requests/{make_id(1)}" in read.get_content()
    assert not any(address in got.content.decode() for address in TO)
    if starttls:
        assert box.in_tls == [True]


async def test_it_signs_in(tmp_path: Path, lookup: Resolver) -> None:
    tls = certified(tmp_path, NAME)
    async with post_office(tls.server, users={b"pdp": b"right"}) as box:
        await channel(box, tls, user="pdp", password="right").send(ASKED)
        assert len(box.mails) == 1
        lookup.answers.append(["127.0.0.1"])
        assert await refusal(channel(box, tls, user="pdp", password="wrong")) == "notice.rejected"
    assert len(box.mails) == 1


async def test_another_names_certificate_is_refused(tmp_path: Path, lookup: Resolver) -> None:
    tls = certified(tmp_path, "other.example")
    async with post_office(tls.server) as box:
        assert await refusal(channel(box, tls)) == "notice.unreachable"
    assert box.mails == []


async def test_a_server_without_starttls_gets_nothing(tmp_path: Path, lookup: Resolver) -> None:
    tls = certified(tmp_path, NAME)
    async with post_office(None) as box:
        assert await refusal(channel(box, tls, user="pdp", password="right")) == "notice.unreachable"
        assert box.mails == []


async def test_an_inner_server_is_refused_unless_allowed(tmp_path: Path, lookup: Resolver) -> None:
    tls = certified(tmp_path, NAME)
    async with post_office(tls.server) as box:
        assert await refusal(channel(box, tls, host=OutgoingHost(NAME, box.port))) == "notice.address"


async def test_nobody_to_mail_to_is_told(tmp_path: Path) -> None:
    tls = certified(tmp_path, NAME)
    for nobody in ((), ("no address",), ("a@b\r\nRCPT TO:<eve@evil.example>",)):
        code = await refusal(channel(Postbox(), tls), replace(ASKED, recipients=nobody))
        assert code == "notice.no_recipient"


@pytest.mark.parametrize(("refuse", "arrives"), [(("bob", "550 nobody"), True), (("bob", "451 later"), False)])
async def test_some_recipients_refused(
    tmp_path: Path, lookup: Resolver, refuse: tuple[str, str], *, arrives: bool
) -> None:
    """For good: the others have it. For now: all get it again, under the same id."""
    tls = certified(tmp_path, NAME)
    async with post_office(tls.server) as box:
        box.refuse = refuse
        if arrives:
            await channel(box, tls).send(ASKED)
        else:
            assert await refusal(channel(box, tls)) == "notice.rejected"
    assert [each.rcpt_tos for each in box.mails] == [[TO[0]]]


async def test_a_server_that_stalls_is_left(
    tmp_path: Path, lookup: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        sender = channel(Postbox(port=silent.getsockname()[1]), certified(tmp_path, NAME))
        assert await refusal(sender) in ("notice.timeout", "notice.unreachable")


def test_the_password_is_not_shown(tmp_path: Path) -> None:
    assert "hunter2" not in repr(channel(Postbox(), certified(tmp_path, NAME), user="u", password="hunter2"))
    assert issubclass(smtplib.SMTPRecipientsRefused, OSError)  # so its handler must come before OSError's
