"""Channels over HTTP: Standard Webhooks, and the incoming webhooks of Slack and Teams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook

from pdp.approvals import messages
from pdp.approvals.outgoing import Post
from pdp.core.approvals.notices import Message
from pdp.core.check import NS


@dataclass(frozen=True, slots=True)
class SignedWebhook:
    """POSTs what whoever receives it can verify. The same message has the same `webhook-id` at every attempt."""

    post: Post
    signer: Webhook = field(repr=False)

    async def send(self, message: Message) -> None:
        """Raises Unavailable `notice.*`."""
        body = messages.webhook(message)
        name, at = f"msg_{message.id}", datetime.fromtimestamp(message.at_ns // NS, UTC)
        signature = self.signer.sign(name, at, body.decode())
        headers = {
            "webhook-id": name,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature,
        }
        await self.post(body, headers)


@dataclass(frozen=True, slots=True)
class ChatWebhook:
    """POSTs a message of a chat's own form."""

    post: Post = field(repr=False)  # whoever has the URL may post
    form: Callable[[Message], bytes]

    async def send(self, message: Message) -> None:
        """Raises Unavailable `notice.*`."""
        await self.post(self.form(message), {})
