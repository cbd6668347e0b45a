"""What the record of a decision and its input document name: agent, server, target, hosts, folders. Pure.

It is to tell what a tenant's agents name for the first time: names are compared, never followed. So a URL is read the
way that a lenient client would, and a host that cannot be read counts as it is written: better one name too many.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from pdp.core.bytes.digest import Json
from pdp.core.bytes.json_pointer import name_of
from pdp.core.call.effects import Destination, destination
from pdp.core.call.registered import Interpreter

OK = "ok"
_LONGEST = 300  # characters of a host with its port; what is longer is compared as it is written
DEPTH = 3  # folders of a path that tell it from others
_HOSTS, _FOLDERS = frozenset({"network", "url"}), frozenset({"filesystem", "path"})  # kinds of sinks and interpreters
_SCHEMES = r"(?:https?|wss?|ftp):[\\/]*|[a-z][a-z0-9+.-]+:[\\/]{2}"
_URL = re.compile(rf"({_SCHEMES})([^\\/?#]*)", re.IGNORECASE)
_FILE = re.compile(r"file:(?:[\\/]{2}[^\\/]*)?(?=[\\/])", re.IGNORECASE)
_AUTHORITY = re.compile(r"[\\/]*([^\\/?#]*)")
_MAILED = re.compile(r"@([^\s@<>,;]+)")
_PORT = re.compile(r":[0-9]*\Z")
_DROPPED = re.compile(r"[\t\r\n]")  # as clients do, anywhere in a URL
_AROUND = "".join(map(chr, range(0x21)))  # likewise, at its ends


@dataclass(frozen=True, slots=True)
class Named:
    """A name that a decision holds, of the sort `agent`, `server`, `target`, `host` or `path`. `check` is `ok`, or
    the code for which it is not one of the tenant's."""

    sort: str
    name: tuple[str, ...]
    check: str = OK


def carried_out(record: Mapping[str, Any]) -> bool:
    """Whether it is of a call that was let through: allowed, or not bound by its answer."""
    bound = record.get("enforcement", "enforced") == "enforced"
    return record["kind"] == "decision" and (record.get("effect") == "allow" or not bound)


def named(record: Mapping[str, Any]) -> Iterator[Named]:
    """Names in the record itself: of a call that was let through those that hold, of any what failed its check."""
    server, target, agent = (record.get(part) or {} for part in ("server", "target", "agent"))
    names = [("server", server, (server.get("id"),)), ("target", target, (server.get("id"), target.get("key")))]
    names.append(("agent", agent, (agent.get("kind"), agent.get("id"))))
    let_through = carried_out(record)
    for sort, part, name in names:
        holds = part.get("status") == OK
        if None not in name and (let_through if holds else sort != "agent"):
            yield Named(sort, tuple(map(str, name)), OK if holds else str(part.get("code") or part.get("status")))


def reached(document: Mapping[str, Any], interpreters: Sequence[Interpreter]) -> Iterator[Named]:
    """Hosts and folders in the arguments of a call: those of sinks and interpreters, and every URL."""
    arguments, server = document["arguments"]["value"], document["server"]["id"]
    for text in _texts(arguments):
        yield from _of_url(text, server)
    for target in document["targets"]:
        places = [(sink["kind"], sink["argument"]) for sink in target["sinks"]]
        places += [(each.kind, each.argument) for each in interpreters]
        for kind, argument in places:
            for text in _texts_at(arguments, [name_of(step) for step in argument.split("/")[1:]]) if argument else ():
                yield from _of_place(kind, text, server)


def _of_url(text: str, server: str) -> Iterator[Named]:
    written = _as_url(text)
    if file := _FILE.match(written):
        yield Named("path", (server, folder(unquote(written[file.end() :]))))
    elif url := _URL.match(written):
        yield from _host(url[2])


def _as_url(text: str) -> str:
    return _DROPPED.sub("", text).strip(_AROUND)


def _of_place(kind: str, text: str, server: str) -> Iterator[Named]:
    """What a text says at a place whose kind is declared; URLs apart."""
    if kind == "email":
        for found in _MAILED.findall(text):
            yield from _host(found)
    elif not text or _URL.match(_as_url(text)) or _FILE.match(_as_url(text)):
        return
    elif kind in _FOLDERS:
        yield Named("path", (server, folder(text)))
    elif kind in _HOSTS and (bare := _AUTHORITY.match(_as_url(text))):
        there = _destination(bare[1].rpartition("@")[2])
        if there is not None and (not isinstance(there.host, str) or "." in there.host or there.port):
            yield Named("host", (str(there.host),))


def _host(authority: str) -> Iterator[Named]:
    written = authority.rpartition("@")[2]
    there = _destination(written)
    host = str(there.host) if there is not None else unquote(_PORT.sub("", written)).lower().strip(". ")
    if host:
        yield Named("host", (host,))


def _destination(written: str) -> Destination | None:
    return destination(written) if len(written) <= _LONGEST else None


def folder(path: str) -> str:
    """The first folders of a path, without its last part, which is a file's name."""
    written = path.replace("\\", "/")
    root = "/" if written.startswith("/") else ""
    parts = posixpath.normpath(written.lstrip("/") or ".").split("/")
    kept = parts if written.endswith("/") else parts[:-1]
    return root + "/".join([part for part in kept if part != "."][:DEPTH])


def _texts_at(value: Json, steps: Sequence[str]) -> Iterator[str]:
    """Texts at a JSON Pointer or below it; of a list on the way all items count."""
    if not steps:
        yield from _texts(value)
    elif isinstance(value, Mapping):
        if steps[0] in value:
            yield from _texts_at(value[steps[0]], steps[1:])
    elif isinstance(value, list):
        for item in value:
            yield from _texts_at(item, steps[1:])


def _texts(root: Json) -> Iterator[str]:
    pending = [root]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
