"""How people's commands reach a server: the options they share, and what is refused as an exit code."""

from __future__ import annotations

import base64
import functools
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from pdp.cli.admin_connection import UNAVAILABLE, is_it_there, read_token, tls_of
from pdp.cli.commands import PLAINTEXT
from pdp.client import ApprovalClient, Filter, RefusedError
from pdp.client.channel import PlaintextRefusedError
from pdp.core.approvals.queries import meant_code
from pdp.core.approvals.text_safety import visible

FAULT = 1
_ID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CODE = re.compile("[0-9A-Za-z]{2}-?[0-9A-Za-z]{2}")
_OVER = ("denied", "expired", "cancelled", "revoked", "redeemed")
_EXAMPLE = "01a1f8f1-79ec-7ae4-92e1-2fdec67cd0b5"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def an_id(context: click.Context, _argument: click.Parameter, value: str) -> str:
    """The id of a request, a grant or a consent; not the short code, which only tells a request from others."""
    if value and not _ID.fullmatch(value):
        group = context.command_path.rpartition(" ")[0]
        raise click.BadParameter(f"an id looks like {_EXAMPLE}; `{group} list` shows it")
    return value.lower()


def id_or_code(_context: click.Context, _argument: click.Parameter, value: str) -> str:
    """The id of a request, or the short code that people compare."""
    if _CODE.fullmatch(value):
        return meant_code(value)
    if not _ID.fullmatch(value):
        raise click.BadParameter(f"an id looks like {_EXAMPLE}, a code like YP-Z2; `pdp approvals list` shows both")
    return value.lower()


def meant(desk: ApprovalClient, named: str) -> str:
    """The id of the request that an id or a code names: an open one, or one that is over where none is. Ends the
    command where no request has the code, or several."""
    if not _CODE.fullmatch(named):
        return named
    for states in ((), tuple(_OVER)):
        listed = desk.list_approvals(Filter(states=states, short_code=named)).approvals
        ids = [each.approval_id for each in listed if each.requirement.short_code == named]
        if len(ids) > 1:
            raise click.UsageError(f"several requests have the code {named}; name one by its id: {', '.join(ids)}")
        if ids:
            return ids[0]
    click.echo(f"approval.unknown: No request that you may see has the code {named}.", err=True)
    sys.exit(FAULT)


@dataclass(frozen=True, slots=True)
class Seat:
    """Where the server is, who acts, and how the workload shows who it is."""

    target: str
    token_file: Path
    caller_token_file: Path | None
    ca: Path | None
    certificate: Path | None
    key: Path | None

    @contextmanager
    def desk(self) -> Iterator[ApprovalClient]:
        """Open an authenticated connection. A refusal ends the command with exit code 1 and the server's message."""
        person, caller = read_token(self.token_file, "--token-file"), None
        if self.caller_token_file is not None:
            caller = read_token(self.caller_token_file, "--caller-token-file")
        elif self.certificate is None:
            raise click.UsageError("Say what asks: --caller-token-file, or --certificate with --key.")
        try:
            desk = ApprovalClient(
                self.target, person, tls=tls_of(self.ca, self.certificate, self.key), token=caller, surface="cli"
            )
        except PlaintextRefusedError:
            raise click.UsageError(PLAINTEXT) from None
        with desk:
            try:
                yield desk
            except RefusedError as error:
                if error.code == "client.request":
                    raise click.UsageError(error.message) from None
                click.echo(f"{visible(error.code)}: {visible(error.message)}", err=True)
                if error.code == UNAVAILABLE:
                    click.echo(is_it_there(self.target), err=True)
                sys.exit(FAULT)


def seated(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Seat`, as its argument `seat`. Their variables begin with PDPCTL_, since those
    that begin with PDP_ are the server's settings."""

    @functools.wraps(command)
    def with_seat(**given: Any) -> None:
        seat = Seat(**{field.name: given.pop(field.name) for field in fields(Seat)})
        command(seat=seat, **given)

    for option in (
        click.option("--key", type=_FILE, envvar="PDPCTL_KEY", show_envvar=True, help="Its private key."),
        click.option(
            "--certificate",
            type=_FILE,
            envvar="PDPCTL_CERTIFICATE",
            show_envvar=True,
            help="This workload's certificate, instead of a token; with --key.",
        ),
        click.option(
            "--ca",
            type=_FILE,
            envvar="PDPCTL_CA",
            show_envvar=True,
            help="PEM of who signs the server's certificate; with it TLS is spoken.",
        ),
        click.option(
            "--caller-token-file",
            type=_FILE,
            envvar="PDPCTL_CALLER_TOKEN_FILE",
            show_envvar=True,
            help="The caller token of this workload.",
        ),
        click.option(
            "--token-file",
            type=_FILE,
            required=True,
            envvar="PDPCTL_TOKEN_FILE",
            show_envvar=True,
            help="Your own access token: who acts.",
        ),
        click.option(
            "--target",
            required=True,
            envvar="PDPCTL_TARGET",
            show_envvar=True,
            help="unix:/PATH, 127.0.0.1:PORT, or HOST:PORT with --ca.",
        ),
    ):
        with_seat = option(with_seat)
    return with_seat


def to_json(message: Message) -> str:
    """A message as JSON for machines, all of it ASCII: a terminal that shows it is not deceived either. Fields that
    hold JSON are its text."""
    found = _plain(MessageToDict(message, preserving_proto_field_name=True))
    return json.dumps(found, indent=2, ensure_ascii=True)


def _plain(found: Any, key: str = "") -> Any:
    if isinstance(found, dict):
        return {name: _plain(value, name) for name, value in found.items()}
    if isinstance(found, list):
        return [_plain(value, key) for value in found]
    return base64.b64decode(found).decode("utf-8", "replace") if key.endswith("_json") else found
