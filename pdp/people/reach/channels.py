"""Notification channels of the configuration: signed webhooks, chat webhooks and mail."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pdp.core.approvals.notices import Message, Route
from pdp.core.errors import ConfigurationFault
from pdp.core.ports import Channel
from pdp.host.outgoing import OutgoingHost, Post, SignedPost, signing_key, trusted
from pdp.people.reach import messages
from pdp.people.reach.mail import Mail
from pdp.people.reach.options import ChannelOptions, ChatOptions, MailOptions, WebhookOptions


@dataclass(frozen=True, slots=True)
class SignedWebhook:
    """POSTs signed messages. The same message has the same `webhook-id` at every attempt."""

    post: SignedPost

    async def send(self, message: Message) -> None:
        """Raises Unavailable `notice.*`."""
        await self.post(f"msg_{message.id}", message.at_ns, messages.webhook(message), {})


@dataclass(frozen=True, slots=True)
class ChatWebhook:
    """POSTs a message of a chat's own form."""

    post: Post = field(repr=False)  # the URL is the credential
    form: Callable[[Message], bytes]

    async def send(self, message: Message) -> None:
        """Raises Unavailable `notice.*`."""
        await self.post(self.form(message), {})


Resolve = Callable[[str, str], bytes]
"""Secret reference and the key that holds it to the secret. Raises ConfigurationFault."""

_FORMS = {"slack": messages.slack, "teams": messages.teams}


def channel(options: ChannelOptions, resolve: Resolve, where: str) -> Channel:
    """One channel. Raises ConfigurationFault that names the setting and shows no secret."""
    tls = trusted(options.ca_file, where)
    if isinstance(options, WebhookOptions):
        post = Post(options.url, tls, internal=options.allow_internal)
        key = signing_key(resolve(options.secret, "secret"), f"{where}.secret")
        return SignedWebhook(SignedPost(post, (key,)))
    if isinstance(options, ChatOptions):
        url = _chat_url(options, resolve(options.url, "url"), f"{where}.url")
        return ChatWebhook(Post(url, tls, internal=options.allow_internal), _FORMS[options.kind])
    return _mail(options, tls, resolve(options.password, "password").decode() if options.password else "")


def routes(channels: Mapping[str, ChannelOptions]) -> tuple[Route, ...]:
    """The route of each channel."""
    return tuple(
        Route(name, frozenset(each.tenants), frozenset(each.events), frozenset(each.kinds))
        for name, each in channels.items()
    )


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
