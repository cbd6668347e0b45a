"""How an operator's commands reach a server: the options they share, and one call with its faults as exit codes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
import grpc
from google.protobuf.message import Message

from pdp.cli.commands import PLAINTEXT
from pdp.client.channel import PlaintextRefusedError, Tls, connect
from pdp.client.responses import failure
from pdp.v1 import admin_pb2_grpc

FAULT = 1
SECONDS = 30  # a reload puts policy through the load gate
UNAVAILABLE = "client.unavailable"  # the code of an answer that no server gave
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class AdminConnection:
    """Where the server is, and how the operator shows who it is."""

    target: str
    token_file: Path | None
    ca: Path | None
    certificate: Path | None
    key: Path | None

    def call(self, method: str, request: Message) -> Any:
        """Ask `AdminService`. Ends the command with exit code 1 and the server's words when there is no answer."""
        tls, metadata = tls_of(self.ca, self.certificate, self.key), self._metadata()
        with connected(self.target, tls) as channel:
            try:
                ask = getattr(admin_pb2_grpc.AdminServiceStub(channel), method)
                return ask(request, timeout=SECONDS, metadata=metadata)
            except grpc.RpcError as error:
                details = error.details() if isinstance(error, grpc.Call) else ""
                click.echo(f"{method}: {details or 'the server did not answer'}", err=True)
                code, _, servers = failure(error)
                if code == UNAVAILABLE and not servers:
                    click.echo(is_it_there(self.target), err=True)
                sys.exit(FAULT)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        if self.token_file is not None:
            return (("authorization", f"Bearer {read_token(self.token_file)}"),)
        if self.certificate is None:
            raise click.UsageError("Say who asks: --token-file, or --certificate with --key.")
        return ()


def tls_of(ca: Path | None, certificate: Path | None, key: Path | None) -> Tls | None:
    """TLS by the options of these names; None without any. Raises UsageError."""
    if ca is None and certificate is None and key is None:
        return None
    try:
        return Tls.from_files(ca, certificate, key)
    except (ValueError, OSError) as error:
        raise click.UsageError(f"--ca, --certificate, --key: {error}") from None


def connected(target: str, tls: Tls | None) -> grpc.Channel:
    """A channel. Raises UsageError for one that would carry plaintext over a network."""
    try:
        return connect(target, tls)
    except PlaintextRefusedError:
        raise click.UsageError(PLAINTEXT) from None


def is_it_there(target: str) -> str:
    """What to look at when nothing answers."""
    return f"Does a server run, and does it listen at {target}?"


def read_token(path: Path, option: str = "--token-file") -> str:
    """The token in a file. Raises UsageError for a file that cannot hold one, without showing it."""
    try:
        text = path.read_bytes().strip().decode("ascii")
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text or not text.isprintable():
        raise click.UsageError(f"{option}: the file holds no token.")
    return text


def reaching(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `AdminConnection`, as its argument `reach`."""

    @functools.wraps(command)
    def with_reach(**given: Any) -> None:
        reach = AdminConnection(**{field.name: given.pop(field.name) for field in fields(AdminConnection)})
        command(reach=reach, **given)

    for option in (
        click.option("--key", type=_FILE, help="Its private key."),
        click.option("--certificate", type=_FILE, help="The operator's certificate, instead of a token; with --key."),
        click.option("--ca", type=_FILE, help="PEM of who signs the server's certificate; with it TLS is spoken."),
        click.option("--token-file", type=_FILE, help="The operator's caller token."),
        click.option("--target", required=True, help="unix:/PATH, 127.0.0.1:PORT, or HOST:PORT with --ca."),
    ):
        with_reach = option(with_reach)
    return with_reach
