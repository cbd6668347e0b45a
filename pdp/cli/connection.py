"""Connections of commands to a server: profiles, credentials, and errors as exit codes.

A command gets its `Connection` by the decorator `connected`. An operator calls `AdminService`; a person is a client
of `ApprovalService` and `ConsentService`.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import sys
import time
import tomllib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from pdp.cli.commands import LOCAL, PLAINTEXT, installed
from pdp.client import ApprovalClient, Decision, Filter, PlaintextRefusedError, RefusedError, Tls, ToolCall, Waited
from pdp.client.channel import beside, connect
from pdp.client.responses import failure
from pdp.core.approvals.queries import meant_code
from pdp.core.errors import ConfigurationFault
from pdp.core.text.safety import visible
from pdp.host.trusted_files import writable_by_others
from pdp.v1 import admin_pb2_grpc, audit_pb2_grpc

if TYPE_CHECKING:
    from pdp.local.installed import LocalInstallation

FAULT = 1
SECONDS = 30  # a reload puts policy through the load gate
UNAVAILABLE = "client.unavailable"  # the code of an answer that no server gave
_ID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CODE = re.compile("[0-9A-Za-z]{2}-?[0-9A-Za-z]{2}")
_CLOSED = ("denied", "expired", "cancelled", "revoked", "redeemed")
_EXAMPLE = "01a1f8f1-79ec-7ae4-92e1-2fdec67cd0b5"
_PAGE = 100  # rows of a list that are asked for at once
_VARIABLES = "PDPCTL_"
_HOW = f"give --profile NAME, or set {_VARIABLES}TARGET (docs/operate.md#profiles)"
_KEYS = ("target", "caller_token_file", "token_file", "ca", "certificate", "key", "proxy_state")
DESK, OPERATOR, AUDITOR, EXPLAINER = "desk", "operator", "auditor", "explainer"  # as whom one's own is asked


@dataclass(frozen=True, slots=True)
class Connection:
    """A profile: the server's address, TLS, and the tokens of the caller and of the person. Without these it is the
    user's own decision point, in the folder `proxy_state` or the usual one. `source` is what messages call it."""

    target: str | None = None
    caller_token_file: Path | None = None
    token_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    proxy_state: Path | None = None
    source: str = ""

    @property
    def given(self) -> bool:
        """Whether a profile was named, or variables say one."""
        return bool(self.source)

    @property
    def _own(self) -> bool:
        """Whether it is the user's own decision point."""
        return replace(self, proxy_state=None, source="") == Connection()

    def call(
        self,
        method: str,
        request: Message,
        *,
        stub: Callable[[grpc.Channel], Any] = admin_pb2_grpc.AdminServiceStub,
        but: grpc.StatusCode | None = None,
    ) -> Any:
        """The response of `AdminService`, or of the service of `stub`, to the caller; None for a refusal with the
        status `but`. Without one, ends the command with exit code 1 and the server's words."""
        target, tls, token = self.caller(AUDITOR if stub is audit_pb2_grpc.AuditServiceStub else OPERATOR)
        metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        with open_channel(target, tls) as channel:
            try:
                return getattr(stub(channel), method)(request, timeout=SECONDS, metadata=metadata)
            except grpc.RpcError as error:
                if but is not None and isinstance(error, grpc.Call) and error.code() == but:
                    return None
                details = error.details() if isinstance(error, grpc.Call) else ""
                click.echo(f"{method}: {details or 'the server did not answer'}", err=True)
                code, _, server_code = failure(error)
                if code == UNAVAILABLE and not server_code:
                    click.echo(is_it_there(target), err=True)
                sys.exit(FAULT)

    @contextmanager
    def client(self) -> Iterator[ApprovalClient]:
        """A client of `ApprovalService` and `ConsentService` for the person. A refusal ends the command with exit
        code 1 and the server's message."""
        target, person, tls, caller = self._person()
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

    def folder_of(self, server: str) -> str:
        """The folder in which a server of the user's own decision point works, as it was pinned; "" of any other."""
        if not self._own:
            return ""
        return next((each.folder for each in _own_home(self.proxy_state).servers() if each.id == server), "")

    def caller(self, own: str) -> tuple[str, Tls | None, str | None]:
        """Target, TLS, and the caller's token unless its certificate names it; `own` is the caller at a decision
        point of the user's own. Raises UsageError."""
        if self._own:
            target, tokens = self._at_own(own)
            return target, None, tokens["caller"]
        if self.target is None:
            raise click.UsageError(f"say where the server is: {_HOW}")
        tls = tls_of(self.ca, self.certificate, self.key, source=f"{self.source}: ca, certificate, key")
        if self.caller_token_file is not None:
            return self.target, tls, read_token(self.caller_token_file, f"{self.source}: caller_token_file")
        if self.certificate is None:
            raise click.UsageError(f"{self.source}: say who asks: caller_token_file, or certificate with key.")
        return self.target, tls, None

    def _person(self) -> tuple[str, str, Tls | None, str | None]:
        """Target, the person's token, TLS, the caller's token. Raises UsageError."""
        if self._own:
            target, tokens = self._at_own(DESK)
            return target, tokens["person"], None, tokens["caller"]
        if self.token_file is None or self.proxy_state is not None:
            raise click.UsageError(
                f"{self.source}: give target and token_file; or neither, to reach your own `pdp proxy`"
            )
        target, tls, caller = self.caller(DESK)
        return target, read_token(self.token_file, f"{self.source}: token_file"), tls, caller

    def _at_own(self, caller: str) -> tuple[str, Mapping[str, str]]:
        """Target and tokens of the user's own decision point, which is said where no profile named it: who forgot one
        sees what answers, before it does."""
        home, tokens = _own_tokens(self.proxy_state, caller)
        if not self.given:
            click.echo(visible(f"At your own decision point, {home.folder}:"), err=True)
        return home.socket, tokens


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option --profile, as its argument `connection`."""

    @functools.wraps(command)
    def with_connection(*, profile: str | None, **given: Any) -> None:
        command(connection=_from_variables() if profile is None else _from_file(profile), **given)

    return click.option(
        "--profile",
        metavar="[FILE:]NAME",
        envvar=f"{_VARIABLES}PROFILE",
        show_envvar=True,
        help="Server and credentials, from ~/.config/pdp/profiles.toml or FILE.",
    )(with_connection)


def _from_variables() -> Connection:
    """The profile that PDPCTL_TARGET and so on say; nothing is given without any. (Names that begin with PDP_ are the
    server's settings.)"""
    said = {key: value for key in _KEYS if (value := os.environ.get(f"{_VARIABLES}{key.upper()}"))}
    return _connection(said, Path(), f"{_VARIABLES}*") if said else Connection()


def _from_file(profile: str) -> Connection:
    """The profile NAME, or FILE:NAME. Raises UsageError, also for a file that others may write: it says to whom
    tokens go."""
    given, _, name = profile.rpartition(":")
    config = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(config) if config.startswith("/") else Path.home() / ".config"
    path = Path(given) if given else folder / "pdp" / "profiles.toml"
    try:
        with path.open("rb") as file:
            problem = writable_by_others(os.fstat(file.fileno()))  # of what was opened
            profiles = {} if problem else tomllib.load(file)
    except OSError as error:
        raise click.UsageError(
            f"--profile: {path}: {error.strerror}; docs/operate.md#profiles shows such a file"
        ) from None
    except ValueError as error:
        raise click.UsageError(f"--profile: {path.name}: is no TOML: {error}") from None
    if problem:
        raise click.UsageError(f"--profile: {path.name}: {problem}")
    said, where = profiles.get(name), f"profile {name}"
    if not isinstance(said, dict):
        raise click.UsageError(f"--profile: {path.name} has no [{name}]; it has {sorted(profiles)}")
    if wrong := sorted(key for key, value in said.items() if key not in _KEYS or not value or type(value) is not str):
        raise click.UsageError(f"{where}: {wrong[0]}: write strings, and of these alone: {', '.join(_KEYS)}")
    return _connection(said, path.parent.absolute(), where)


def _connection(said: Mapping[str, str], base: Path, source: str) -> Connection:
    files = {key: base / Path(value).expanduser() for key, value in said.items() if key != "target"}
    target = beside(said["target"], base) if "target" in said else None
    return Connection(target=target, source=source, **files)


def _own_home(state: Path | None) -> LocalInstallation:
    """The user's own installation. Raises UsageError where there is none."""
    if not installed(LOCAL):
        raise click.UsageError(f"say where the server is: {_HOW}")
    from pdp.local import installed as local  # noqa: PLC0415 - slow, and for these users alone
    from pdp.local.place import state_of  # noqa: PLC0415 - likewise

    try:
        return local.load(state_of(state))
    except ConfigurationFault as fault:
        raise click.UsageError(
            f"say where the server is: {_HOW}; or, of your own decision point: {fault.message} It comes with "
            "`pdp proxy --pin -- COMMAND` or `pdp hook install AGENT`"
        ) from None


def _own_tokens(state: Path | None, caller: str) -> tuple[LocalInstallation, Mapping[str, str]]:
    """The installation, and tokens of its user and of a caller: asked of the process that decides, which starts where
    none runs."""
    home = _own_home(state)
    from pdp.local import hook  # noqa: PLC0415 - for these users alone

    try:
        code, answer = hook.ask(str(home.folder), hook.DESK, caller.encode())
    except hook.BlockedError:
        code, answer = FAULT, b"Your decision point does not start; hook.log in its folder says why."
    if code:
        click.echo(answer.decode(errors="replace"), err=True)
        sys.exit(FAULT)
    return home, json.loads(answer)


def tls_of(
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    *,
    source: str = "--ca, --certificate, --key",
) -> Tls | None:
    """TLS by the options of these names, or by those of `source`; None without any. Raises UsageError."""
    if ca is None and certificate is None and key is None:
        return None
    try:
        return Tls.from_files(ca, certificate, key)
    except (ValueError, OSError) as error:
        raise click.UsageError(f"{source}: {error}") from None


def open_channel(target: str, tls: Tls | None) -> grpc.Channel:
    """A channel. Raises UsageError for one that would carry plaintext over a network."""
    try:
        return connect(target, tls)
    except PlaintextRefusedError:
        raise click.UsageError(PLAINTEXT) from None


def is_it_there(target: str) -> str:
    """The advice for a server that does not answer."""
    return f"Does a server run, and does it listen at {target}?"


def read_token(path: Path, option: str) -> str:
    """The token in a file. Raises UsageError for a file that cannot hold one, without showing it."""
    try:
        text = path.read_bytes().strip().decode("ascii")
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text or not text.isprintable() or " " in text:
        raise click.UsageError(f"{option}: the file cannot be read, or does not hold one token.")
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


def all_pages(list_page: Callable[..., Any]) -> Any:
    """All pages of a list as one response."""
    whole = page = list_page(page_size=_PAGE)
    while page.next_page_token:
        page = list_page(page_size=_PAGE, page_token=page.next_page_token)
        whole.MergeFrom(page)
    whole.next_page_token = ""
    return whole


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
