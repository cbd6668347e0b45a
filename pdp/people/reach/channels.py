"""Notification channels of the configuration: signed webhooks, chat webhooks and mail."""

from __future__ import annotations

import asyncio
import re
import smtplib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import urlsplit

from pdp.core.approvals.notices import Message
from pdp.core.errors import ConfigurationFault, Unavailable
from pdp.core.ports import Channel
from pdp.host.outgoing import SECONDS, OutgoingHost, Post, SignedPost, address_of, signing_key, trusted
from pdp.people.reach import messages
from pdp.people.reach.messages import mail
from pdp.people.reach.options import ChannelOptions, ChatOptions, MailOptions, WebhookOptions

_ADDRESS = re.compile(r"[!-;=?-~]+@[A-Za-z0-9.-]+")
_TEMPORARY = range(400, 500)
_READY = 220


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail channel: one mail to all recipients, hidden from each other."""

    host: OutgoingHost
    security: str  # "starttls" | "tls" | "none"
    tls: ssl.SSLContext
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)

    async def send(self, message: Message) -> None:
        """Send a mail. Raises Unavailable `notice.*`."""
        people = tuple(each for each in message.recipients if _ADDRESS.fullmatch(each))
        if not people:
            raise Unavailable("notice.no_recipient", "Nobody whom it is for has a mail address in the directory.")
        mail_message = mail(message, self.sender)
        session = _Session(self)
        try:
            async with asyncio.timeout(SECONDS):
                address = await address_of(self.host)
                await asyncio.to_thread(session.deliver, address, mail_message, people)
        except TimeoutError:
            session.abort()
            raise Unavailable("notice.timeout", "The mail server does not answer in time.") from None
        except smtplib.SMTPResponseException as error:
            raise Unavailable(
                "notice.rejected", "The mail server refuses the message.", detail=f"reply {error.smtp_code}"
            ) from None
        except smtplib.SMTPRecipientsRefused:
            raise Unavailable("notice.rejected", "The mail server refuses a recipient.") from None
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(
                "notice.unreachable", "The mail server cannot be reached.", detail=type(error).__name__
            ) from None


class _Session:
    """One SMTP connection, used in a thread of its own."""

    def __init__(self, options: Mail) -> None:
        self._options = options
        self._client: smtplib.SMTP | None = None

    def deliver(self, address: str, mail_message: EmailMessage, people: tuple[str, ...]) -> None:
        """Deliver the mail. Raises OSError, SMTPException."""
        options = self._options
        client = self._client = _Pinned(options.host, address, options.tls if options.security == "tls" else None)
        with client:
            client.open()
            if options.security == "starttls":
                client.starttls(context=options.tls)
            if options.user:
                client.login(options.user, options.password)
            refused = client.send_message(mail_message, options.sender, people)
        if any(code in _TEMPORARY for code, _ in refused.values()):
            raise smtplib.SMTPRecipientsRefused(refused)  # retried for all: better twice than never

    def abort(self) -> None:
        """Close the connection, which wakes the thread."""
        if self._client is not None and self._client.sock is not None:
            self._client.sock.close()


class _Pinned(smtplib.SMTP):
    """An SMTP client of a checked address; the certificate is verified for the host's name."""

    def __init__(self, host: OutgoingHost, address: str, tls: ssl.SSLContext | None) -> None:
        super().__init__(timeout=SECONDS, local_hostname="localhost")
        self._host = host.name  # what starttls verifies
        self._place = (address, host.port)
        self._tls = tls

    def open(self) -> None:
        """Connect and read the greeting. Raises OSError, SMTPException."""
        code, answer = self.connect(*self._place)
        if code != _READY:
            raise smtplib.SMTPConnectError(code, answer)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = socket.create_connection((host, port), timeout)
        return plain if self._tls is None else self._tls.wrap_socket(plain, server_hostname=self._host)


@dataclass(frozen=True, slots=True)
class SignedWebhook:
    """A channel of signed POSTs. A message has the same `webhook-id` at every attempt."""

    post: SignedPost

    async def send(self, message: Message) -> None:
        """Raises Unavailable `notice.*`."""
        await self.post(f"msg_{message.id}", message.at_ns, messages.webhook(message), {})


@dataclass(frozen=True, slots=True)
class ChatWebhook:
    """A channel of POSTs in a chat's own format."""

    post: Post = field(repr=False)  # the URL is the credential
    form: Callable[[Message], bytes]

    async def send(self, message: Message) -> None:
        """Raises Unavailable `notice.*`."""
        await self.post(self.form(message), {})


Resolve = Callable[[str, str], bytes]
"""(secret reference, its key) → secret. Raises ConfigurationFault."""

_FORMS = {"slack": messages.slack, "teams": messages.teams}


def channel(options: ChannelOptions, resolve: Resolve, where: str) -> Channel:
    """The channel of its options. Raises ConfigurationFault naming the setting, without a secret."""
    tls = trusted(options.ca_file, where)
    if isinstance(options, WebhookOptions):
        post = Post(options.url, tls, internal=options.allow_internal)
        key = signing_key(resolve(options.secret, "secret"), f"{where}.secret")
        return SignedWebhook(SignedPost(post, (key,)))
    if isinstance(options, ChatOptions):
        url = _chat_url(options, resolve(options.url, "url"), f"{where}.url")
        return ChatWebhook(Post(url, tls, internal=options.allow_internal), _FORMS[options.kind])
    return _mail(options, tls, resolve(options.password, "password").decode() if options.password else "")


def _mail(options: MailOptions, tls: ssl.SSLContext, password: str) -> Mail:
    host = OutgoingHost(options.host, options.port, options.allow_internal)
    return Mail(host, options.security, tls, options.sender, options.user, password)


def _chat_url(options: ChatOptions, secret: bytes, where: str) -> str:
    text = secret.decode("ascii", "replace")
    try:
        parts = urlsplit(text)
        plain = parts.scheme == "http" and options.allow_internal
        fits = (parts.scheme == "https" or plain) and parts.netloc == options.host and text.isprintable()
    except ValueError:
        fits = False
    if not fits:
        raise ConfigurationFault("config.secret", f"{where}: does not hold an https URL of the host {options.host}.")
    return text
