"""Message content for each channel. No form interprets a name: no markup, mention or link but ours.

Names in a message are already made visible (core.approvals.notices).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from pdp.core.approvals.notices import OPENED, Message
from pdp.core.check import NS

_BUTTON = "Open the request"
_FOOT = "Answer on the page only. Nobody asks you to answer this message."


def headline(message: Message) -> str:
    """One sentence, without a name in it."""
    noun = f"{'An' if message.kind[0] in 'aeiou' else 'A'} {message.kind}"
    if message.event != OPENED:
        return f"{noun} request is settled"
    return f"{noun} is {'asked for' if message.kind == 'consent' else 'wanted'}"


def facts(message: Message) -> tuple[tuple[str, str], ...]:
    """Further facts of a message, as label and value."""
    until = datetime.fromtimestamp(message.expires_ns // NS, UTC).strftime("%Y-%m-%d %H:%M UTC")
    last = ("Answer by", until) if message.event == OPENED else ("Result", message.state)
    return (
        ("Server", message.server),
        ("Tool", message.tool),
        ("Risk", message.risk),
        ("Code", message.short_code),
        last,
    )


def webhook(message: Message) -> bytes:
    """The body of a Standard Webhooks message."""
    data = {
        "tenant": message.tenant,
        "approval_id": message.approval_id,
        "kind": message.kind,
        "server": message.server,
        "tool": message.tool,
        "risk": message.risk,
        "short_code": message.short_code,
        "state": message.state,
        "expires_at": _instant(message.expires_ns),
        "url": message.url,
    }
    return _json({"type": f"approval.{message.event}", "timestamp": _instant(message.at_ns), "data": data})


def slack(message: Message) -> bytes:
    """Blocks of plain text: Slack looks for mentions, links and emoji in none of them."""
    lines = "\n".join(f"{label}: {value}" for label, value in facts(message))
    blocks = [
        {"type": "header", "text": _plain(headline(message))},
        {"type": "section", "text": _plain(lines)},
        {
            "type": "actions",
            "elements": [{"type": "button", "text": _plain(_BUTTON), "url": message.url}],
        },
        {"type": "context", "elements": [_plain(_FOOT)]},
    ]
    return _json({"text": headline(message), "blocks": blocks, "unfurl_links": False, "unfurl_media": False})


def teams(message: Message) -> bytes:
    """An Adaptive Card of text runs, the card's only text without Markdown."""
    body = [
        _runs({"text": headline(message), "weight": "Bolder", "size": "Medium"}),
        *(_runs({"text": f"{label}: ", "weight": "Bolder"}, {"text": value}) for label, value in facts(message)),
        _runs({"text": _FOOT, "isSubtle": True}),
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": _BUTTON, "url": message.url}],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return _json({"type": "message", "attachments": [attachment]})


def mail(message: Message, sender: str) -> EmailMessage:
    """A plain-text mail, without its recipients."""
    mail_message = EmailMessage(policy=SMTP)
    mail_message["From"] = sender
    mail_message["To"] = "undisclosed-recipients:;"
    mail_message["Subject"] = f"{headline(message)} ({message.short_code})"
    mail_message["Date"] = datetime.fromtimestamp(message.at_ns // NS, UTC)
    mail_message["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2]}>"
    mail_message["Auto-Submitted"] = "auto-generated"
    lines = [f"{label}: {value}" for label, value in facts(message)]
    mail_message.set_content("\n".join([f"{headline(message)}.", "", *lines, "", message.url, "", _FOOT, ""]))
    return mail_message


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _runs(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}


def _instant(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
