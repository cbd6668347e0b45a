"""Connections of commands to a server: their options, their credentials, and errors as exit codes.

`AdminConnection` is an operator's to `AdminService`, `ApprovalConnection` a person's to `ApprovalService` and
`ConsentService`. A command gets one, with its options, by the decorator `admin_options` or `approval_options`.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import click
import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from pdp.cli.commands import PLAINTEXT
from pdp.client import (
    ApprovalClient,
    Decision,
    Filter,
    PlaintextRefusedError,
    RefusedError,
    Tls,
    ToolCall,
    Waited,
)
from pdp.client.channel import connect
from pdp.client.responses import failure
from pdp.core.approvals.queries import meant_code
from pdp.core.approvals.text_safety import visible
from pdp.core.errors import ConfigurationFault
from pdp.v1 import admin_pb2_grpc

FAULT = 1
SECONDS = 30  # a reload puts policy through the load gate
UNAVAILABLE = "client.unavailable"  # the code of an answer that no server gave
_ID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CODE = re.compile("[0-9A-Za-z]{2}-?[0-9A-Za-z]{2}")
_CLOSED = ("denied", "expired", "cancelled", "revoked", "redeemed")
_EXAMPLE = "01a1f8f1-79ec-7ae4-92e1-2fdec67cd0b5"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class AdminConnection:
    """Address of the server, and credentials of the operator."""

    target: str
    token_file: Path | None
    ca: Path | None
    certificate: Path | None
    key: Path | None

    def call(
        self,
        method: str,
        request: Message,
        *,
        stub: Callable[[grpc.Channel], Any] = admin_pb2_grpc.AdminServiceStub,
        but: grpc.StatusCode | None = None,
    ) -> Any:
        """The response of `AdminService`, or of the service of `stub`; None for a refusal with the status `but`.
        Without one, ends the command with exit code 1 and the server's words."""
        tls, metadata = tls_of(self.ca, self.certificate, self.key), self._metadata()
        with open_channel(self.target, tls) as channel:
            try:
                send = getattr(stub(channel), method)
                return send(request, timeout=SECONDS, metadata=metadata)
            except grpc.RpcError as error:
                if but is not None and isinstance(error, grpc.Call) and error.code() == but:
                    return None
                details = error.details() if isinstance(error, grpc.Call) else ""
                click.echo(f"{method}: {details or 'the server did not answer'}", err=True)
                code, _, server_code = failure(error)
                if code == UNAVAILABLE and not server_code:
                    click.echo(is_it_there(self.target), err=True)
                sys.exit(FAULT)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        if self.token_file is not None:
            return (("authorization", f"Bearer {read_token(self.token_file)}"),)
        if self.certificate is None:
            raise click.UsageError("Say who asks: --token-file, or --certificate with --key.")
        return ()


@dataclass(frozen=True, slots=True)
class ApprovalConnection:
    """Address of the server, and credentials of the person and of the workload; or the folder in which `pdp proxy`
    keeps them for its user."""

    target: str | None
    token_file: Path | None
    caller_token_file: Path | None
    ca: Path | None
    certificate: Path | None
    key: Path | None
    proxy_state: Path | None

    @contextmanager
    def client(self) -> Iterator[ApprovalClient]:
        """Open an authenticated connection. A refusal ends the command with exit code 1 and the server's message."""
        target, person, tls, caller = self._credentials()
        try:
            client = ApprovalClient(target, person, tls=tls, token=caller, surface="cli")
        except PlaintextRefusedError:
            raise click.UsageError(PLAINTEXT) from None
        with client:
            try:
                yield client
            except RefusedError as error:
                if error.code == "client.request":
                    raise click.UsageError(error.message) from None
                click.echo(f"{visible(error.code)}: {visible(error.message)}", err=True)
                if error.code == UNAVAILABLE:
                    click.echo(is_it_there(target), err=True)
                sys.exit(FAULT)

    def _credentials(self) -> tuple[str, str, Tls | None, str | None]:
        """Target, the person's token, TLS, the workload's token. Raises UsageError."""
        if self.target is None and self.token_file is None:
            return _own(self.proxy_state)
        if self.target is None or self.token_file is None or self.proxy_state is not None:
            raise click.UsageError(
                "give --target and --token-file; or neither, for your own `pdp proxy`, as with --proxy-state"
            )
        person, caller = read_token(self.token_file, "--token-file"), None
        if self.caller_token_file is not None:
            caller = read_token(self.caller_token_file, "--caller-token-file")
        elif self.certificate is None:
            raise click.UsageError("Say what asks: --caller-token-file, or --certificate with --key.")
        return self.target, person, tls_of(self.ca, self.certificate, self.key), caller


def _own(state: Path | None) -> tuple[str, str, None, str]:
    """The user at a decision point of one's own: its tokens are asked of the process that decides, which starts where
    none runs."""
    from pdp import hook  # noqa: PLC0415 - for these users alone
    from pdp.authoring import local  # noqa: PLC0415 - slow, likewise

    try:
        home = local.load((state or local.state_folder(os.environ)).absolute())
    except ConfigurationFault as fault:
        raise click.UsageError(
            f"--target: say where the server is; or, of your own `pdp proxy`: {fault.message} What waits for you "
            "comes from `pdp proxy -- COMMAND`, which the agent has to start"
        ) from None
    try:
        code, answer = hook.ask(str(home.folder), hook.DESK, b"")
    except hook.BlockedError:
        code, answer = FAULT, b"Your decision point does not start; hook.log in its folder says why."
    if code:
        click.echo(answer.decode(errors="replace"), err=True)
        sys.exit(FAULT)
    tokens = json.loads(answer)
    return home.socket, tokens["person"], None, tokens["caller"]


def tls_of(ca: Path | None, certificate: Path | None, key: Path | None) -> Tls | None:
    """TLS by the options of these names; None without any. Raises UsageError."""
    if ca is None and certificate is None and key is None:
        return None
    try:
        return Tls.from_files(ca, certificate, key)
    except (ValueError, OSError) as error:
        raise click.UsageError(f"--ca, --certificate, --key: {error}") from None


def open_channel(target: str, tls: Tls | None) -> grpc.Channel:
    """A channel. Raises UsageError for one that would carry plaintext over a network."""
    try:
        return connect(target, tls)
    except PlaintextRefusedError:
        raise click.UsageError(PLAINTEXT) from None


def is_it_there(target: str) -> str:
    """The advice for a server that does not answer."""
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


async def decided_in_time(
    call: ToolCall,
    decide: Callable[[ToolCall], Awaitable[Decision]],
    wait: Callable[[str, float], Awaitable[Waited]],
    patience: float,
    on_pending: Callable[[Decision], None] = lambda _decision: None,
) -> Decision:
    """The decision once people have answered, or as it is after `patience` seconds or where a wait is refused.

    `decide` and `wait` are the client's, with the credential of the call; `on_pending` is given a pending answer.
    """
    decision = await decide(call)
    if decision.pending is not None:
        on_pending(decision)
    ends = time.monotonic() + patience
    while decision.pending is not None and (left := ends - time.monotonic()) > 0:
        resume = decision.pending.resume_token
        waited = await wait(resume, left)
        if waited.again:
            decision = await decide(replace(call, resume_token=resume))
        elif waited.gone or waited.reasons:
            break
    return decision


def admin_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `AdminConnection`, as its argument `connection`."""
    return _with_options(
        command,
        AdminConnection,
        click.option("--key", type=_FILE, help="Its private key."),
        click.option("--certificate", type=_FILE, help="The operator's certificate, instead of a token; with --key."),
        click.option("--ca", type=_FILE, help="PEM of who signs the server's certificate; with it TLS is spoken."),
        click.option("--token-file", type=_FILE, help="The operator's caller token."),
        click.option("--target", required=True, help="unix:/PATH, 127.0.0.1:PORT, or HOST:PORT with --ca."),
    )


def approval_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `ApprovalConnection`, as its argument `connection`. Their variables begin with
    PDPCTL_, since those that begin with PDP_ are the server's settings."""

    def option(name: str, text: str, **more: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
        variable = f"PDPCTL_{name.removeprefix('--').replace('-', '_').upper()}"
        return click.option(name, envvar=variable, show_envvar=True, help=text, **more)

    return _with_options(
        command,
        ApprovalConnection,
        option("--proxy-state", "The folder of your own `pdp proxy`, where it is not the usual one.", type=_FOLDER),
        option("--key", "Its private key.", type=_FILE),
        option("--certificate", "This workload's certificate, instead of a token; with --key.", type=_FILE),
        option("--ca", "PEM of who signs the server's certificate; with it TLS is spoken.", type=_FILE),
        option("--caller-token-file", "The caller token of this workload.", type=_FILE),
        option("--token-file", "Your own access token: who acts.", type=_FILE),
        option("--target", "unix:/PATH, 127.0.0.1:PORT, or HOST:PORT with --ca; without it, your own `pdp proxy`."),
    )


def _with_options(command: Callable[..., None], kind: Any, *options: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(command)
    def connected(**given: Any) -> None:
        connection = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        command(connection=connection, **given)

    for option in options:
        connected = option(connected)
    return connected


def id_argument(context: click.Context, _argument: click.Parameter, value: str) -> str:
    """The id of a request, a grant or a consent; not the short code, which only tells a request from others."""
    if value and not _ID.fullmatch(value):
        group = context.command_path.rpartition(" ")[0]
        raise click.BadParameter(f"an id looks like {_EXAMPLE}; `{group} list` shows it")
    return value.lower()


def id_or_code_argument(_context: click.Context, _argument: click.Parameter, value: str) -> str:
    """The id of a request, or the short code that people compare."""
    if _CODE.fullmatch(value):
        return meant_code(value)
    if not _ID.fullmatch(value):
        raise click.BadParameter(f"an id looks like {_EXAMPLE}, a code like YP-Z2; `pdp approvals list` shows both")
    return value.lower()


def approval_id_of(client: ApprovalClient, id_or_code: str) -> str:
    """The id of the request with an id or a code: an open one, else a closed one. Ends the command when no request
    has the code, or several have it."""
    if not _CODE.fullmatch(id_or_code):
        return id_or_code
    for states in ((), _CLOSED):
        listed = client.list_approvals(Filter(states=states, short_code=id_or_code)).approvals
        ids = [each.approval_id for each in listed if each.requirement.short_code == id_or_code]
        if len(ids) > 1:
            raise click.UsageError(
                f"several requests have the code {id_or_code}; name one by its id: {', '.join(ids)}"
            )
        if ids:
            return ids[0]
    click.echo(f"approval.unknown: No request that you may see has the code {id_or_code}.", err=True)
    sys.exit(FAULT)


def numbers(enum: Any) -> dict[str, Any]:
    """The values of an enum of `pdp.v1` by their words: "pending" is APPROVAL_STATE_PENDING. Zero has no word."""
    prefix = enum.keys()[0].removesuffix("UNSPECIFIED")
    return {name.removeprefix(prefix).lower(): number for name, number in enum.items() if number}


def word(enum: Any, number: int) -> str:
    """The word of a value, "unspecified" for zero."""
    return str(enum.Name(number).removeprefix(enum.keys()[0].removesuffix("UNSPECIFIED")).lower())


def to_json(message: Message) -> str:
    """A message as JSON for machines, all of it ASCII: a terminal that shows it is not deceived either. Fields that
    hold JSON are its text."""
    value = _plain(MessageToDict(message, preserving_proto_field_name=True))
    return json.dumps(value, indent=2, ensure_ascii=True)


def _plain(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _plain(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, key) for each in value]
    return base64.b64decode(value).decode("utf-8", "replace") if key.endswith("_json") else value
