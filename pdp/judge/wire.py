"""What goes over the socket between the decision process and the judge's: one JSON object a line, bounded.

    judge's      {"hello": 1, "model": …, "url": …}            first of all
    decision's   {"id": 7, "tenant": …, "within_s": …, "rendered": {…}}   asks; later nobody waits for it
    judge's      {"id": 7, "said": {…}}                        answers, in any order
                 {"state": {…}}                                at least every other second

Both ends are ours, and each has made sure of the other's user. A line that is none of these ends the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pdp.core.digest import Json
from pdp.core.judge.judge_input import Rendered
from pdp.judge.session_result import STATUSES, SessionResult

VERSION = 1
MAX_ASKED = 2 << 20  # bytes of a line to the judge
MAX_TOLD = 256 << 10  # bytes of a line from it
BEAT_SECONDS = 1.0
_CREDENTIALS = struct.Struct("3i")  # Linux: process, user, group


class WireError(Exception):
    """The other end says something that it never would."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One session that is wanted, and for how long."""

    id: int
    tenant: str
    within_s: float
    rendered: Rendered


def line(message: Mapping[str, Any]) -> bytes:
    """A message as it is sent."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def ask(asked: Asked) -> bytes:
    """Raises WireError for one that is too long."""
    made = line(asdict(asked))
    if len(made) > MAX_ASKED:
        raise WireError
    return made


def read_asked(data: bytes) -> Asked:
    """Raises WireError."""
    found = _object(data)
    try:
        rendered = found["rendered"]
        lists = {name: tuple(rendered[name]) for name in ("rules", "cut")}
        return Asked(
            _whole(found["id"]),
            str(found["tenant"]),
            float(found["within_s"]),
            Rendered(**{**rendered, **lists}),
        )
    except (KeyError, TypeError, ValueError):
        raise WireError from None


def hello(model: str, url: str) -> bytes:
    """What a judge's process is."""
    return line({"hello": VERSION, "model": model, "url": url})


def read_hello(data: bytes) -> tuple[str, str]:
    """Model and URL. Raises WireError."""
    found = _object(data)
    if found.get("hello") != VERSION:
        raise WireError
    return str(found.get("model")), str(found.get("url"))


def said(ident: int, answer: SessionResult) -> bytes:
    """An answer."""
    return line({"id": ident, "said": asdict(answer)})


def state(found: Mapping[str, Json]) -> bytes:
    """How things stand."""
    return line({"state": found})


def read_told(data: bytes) -> tuple[int, SessionResult] | Mapping[str, Json]:
    """An answer with its id, or how things stand. Raises WireError."""
    found = _object(data)
    try:
        if "state" in found:
            return dict(found["state"])
        return _whole(found["id"]), _said(**found["said"])
    except (KeyError, TypeError, ValueError):
        raise WireError from None


def _said(**found: Any) -> SessionResult:
    made = SessionResult(**found)
    numbers = (made.tokens_in, made.tokens_out, made.cost_micros, made.latency_ms)
    texts = (made.text, made.finish, made.model)
    if made.status not in STATUSES or not all(isinstance(text, str) for text in texts):
        raise WireError
    if any(_whole(number) < 0 for number in numbers):
        raise WireError
    return made


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise WireError
    return value


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise WireError from None
    if not isinstance(found, dict):
        raise WireError
    return found


async def close(writer: asyncio.StreamWriter) -> None:
    """Close our end, and wait until it is closed."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def user_of(connection: socket.socket) -> int:
    """Who is at the other end of a Unix socket: its user id, as the kernel knows it."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    user: int = _CREDENTIALS.unpack(found)[1]
    return user
