"""`pdp proxy`: an MCP server in front of another one that asks the decision point before anything is carried out."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import uvicorn
from mcp.server import Server
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.transport_security import (
    DEFAULT_MAX_REQUEST_BODY_SIZE,
    TransportSecurityMiddleware,
    TransportSecuritySettings,
)
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pdp.adapters.mcp.answers import DENIED, SAFE_MESSAGE
from pdp.adapters.mcp.enforcement import Context, Enforcement, EnforcementOptions
from pdp.adapters.mcp.proxy import ALL, Upstream, over_stdio
from pdp.adapters.mcp.proxy import proxy as proxy_server
from pdp.cli.commands import PLAINTEXT
from pdp.cli.confining import confinement_options, refuse_reach, say_confinement
from pdp.cli.connection import read_token, tls_of
from pdp.cli.proxy_own import OwnProxy
from pdp.client import AsyncClient, Listing, PlaintextRefusedError, Session, ToolList
from pdp.client.values import Credential
from pdp.confinement import Confinement
from pdp.mcp_transport import read_message, refusal

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_LOOPBACK = ("127.0.0.1", "::1")
_BEARER, _UNIX = "bearer ", "unix:"
_INVALID = 'Bearer error="invalid_token"'
_MAX_BODY = DEFAULT_MAX_REQUEST_BODY_SIZE
_METADATA = "/.well-known/oauth-protected-resource/mcp"
_NOBODY = {"jsonrpc": "2.0", "id": None, "error": {"code": DENIED, "message": SAFE_MESSAGE}}


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--server", help="Id of the server in the registry.")
@click.option("--target", help="unix:/PATH, 127.0.0.1:PORT, or HOST:PORT with --ca; without it, one of your own.")
@click.option("--pin", "pinning", is_flag=True, help="Read the server's tools, say what each may do, and sign.")
@click.option("--state", type=_FOLDER, help="Where your own decision point keeps everything.  [~/.local/state/pdp]")
@click.option("--caller-token-file", type=_FILE, help="The proxy's own caller token; read for every question.")
@click.option("--bearer-file", type=_FILE, help="The user's access token; read for every question. Only over stdio.")
@click.option("--url", help="Streamable HTTP endpoint of the server, instead of a command.")
@click.option("--env", "env_names", multiple=True, help="Name of a variable to pass on to the command.")
@click.option("--listen", help="127.0.0.1:PORT: streamable HTTP at /mcp; users bring their tokens.")
@click.option("--authorization-server", help="With --listen: URL of the issuer at which clients sign in.")
@click.option(
    "--patience", type=click.FloatRange(0, 600), default=25.0, show_default=True, help="Seconds for people."
)
@click.option("--observe", is_flag=True, help="Carry out what policy does not bind in a pilot; see docs/pilot.md.")
@click.option("--ca", type=_FILE, help="PEM of who signs the decision point's certificate.")
@click.option("--certificate", type=_FILE, help="The proxy's certificate, instead of a caller token; with --key.")
@click.option("--key", type=_FILE, help="Its private key.")
@confinement_options
def proxy(
    command: tuple[str, ...],
    server: str | None,
    target: str | None,
    pinning: bool,
    state: Path | None,
    caller_token_file: Path | None,
    bearer_file: Path | None,
    url: str | None,
    env_names: tuple[str, ...],
    listen: str | None,
    authorization_server: str | None,
    patience: float,
    observe: bool,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    confinement: Confinement | None,
) -> None:
    """Put a decision point in front of an MCP server: `pdp proxy -- COMMAND`.

    The agent starts this instead of COMMAND. A call reaches the server only after an allow, a list shows only what
    the user may call, and of a result the agent sees what may be shown. Without an answer nothing passes.

    \b
    pdp proxy --pin -- mcp-server-git          you read its tools, and sign
    pdp proxy -- mcp-server-git                decides by itself, for you
    pdp proxy --server ID --target ADDRESS ... -- mcp-server-git
    """
    named = {"--caller-token-file": caller_token_file, "--bearer-file": bearer_file, "--url": url, "--listen": listen}
    named |= {"--authorization-server": authorization_server}
    named |= {"--ca": ca, "--certificate": certificate, "--key": key}
    if target is None:
        if observe:
            raise click.UsageError("--observe is about a decision point of your organisation: give --target")
        _own(OwnProxy(command, state, server, env_names, patience, confinement), named, pinning=pinning)
        return
    if pinning or state is not None or server is None:
        raise click.UsageError("with --target give --server, and neither --pin nor --state")
    _whole(command, named)
    if command:
        kept = {"--caller-token-file": caller_token_file, "--bearer-file": bearer_file}
        kept |= {
            "--ca": ca,
            "--certificate": certificate,
            "--key": key,
            "the folder of --target": _socket_folder(target),
        }
        refuse_reach(confinement, command, str(Path.cwd()), kept)
    address = _address(listen) if listen else None
    tls = tls_of(ca, certificate, key)

    def connect() -> AsyncClient:
        token = None if caller_token_file is None else lambda: read_token(caller_token_file, "--caller-token-file")
        return AsyncClient(target, tls=tls, token=token, observe=observe)

    upstream = Upstream(
        tuple(command),
        url,
        {name: os.environ[name] for name in env_names if name in os.environ},
        confinement=confinement,
    )
    session = None if bearer_file is None else Session(f"proxy-{uuid.uuid4()}")  # one user, one agent, this start
    options = EnforcementOptions(
        credential=_credential(bearer_file),
        session=lambda _ctx: session,
        patience=patience,
        inspects_results=True,
    )
    click.echo(f"pdp proxy: {server} is decided at {target}.", err=True)
    if command:
        say_confinement(confinement, server)
    try:
        asyncio.run(_serve(Enforcement(server, connect, options), upstream, address, authorization_server))
    except PlaintextRefusedError:
        raise click.UsageError(PLAINTEXT) from None


def _own(own: OwnProxy, named: Mapping[str, object], *, pinning: bool) -> None:
    """The decision point of one's own."""
    if given := [name for name, value in named.items() if value is not None]:
        raise click.UsageError(f"{given[0]} goes with --target")
    if not own.command:
        raise click.UsageError("give `-- COMMAND ARGS...`: the server to put the decision point in front of")
    if pinning:
        own.pin()
    else:
        own.serve()


def _whole(command: tuple[str, ...], named: Mapping[str, object]) -> None:
    """Raises UsageError for what a named decision point needs besides."""
    if bool(named["--url"]) == bool(command):
        raise click.UsageError("give either --url URL or `-- COMMAND ARGS...`")
    if named["--authorization-server"] is not None and named["--listen"] is None:
        raise click.UsageError("--authorization-server goes with --listen")
    if bool(named["--listen"]) == bool(named["--bearer-file"]):
        raise click.UsageError("give --bearer-file (stdio: one user), or --listen (HTTP: each user's own token)")
    if named["--caller-token-file"] is None and named["--certificate"] is None:
        raise click.UsageError("say what asks: --caller-token-file, or --certificate with --key")


def _socket_folder(target: str) -> Path | None:
    """Where the decision point listens, and may keep more; None where that is no file."""
    return Path(target.removeprefix(_UNIX)).absolute().parent if target.startswith(_UNIX) else None


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if host not in _LOOPBACK or not port.isascii() or not port.isdecimal():
        raise click.UsageError("--listen: give 127.0.0.1:PORT or [::1]:PORT; others reach a gateway, not this proxy")
    return host, int(port)


def _credential(bearer_file: Path | None) -> Callable[[Context], Credential]:
    """For whom: the token of the file, or the one in the HTTP request that brought the message."""

    def of_file(_ctx: Context) -> Credential:
        return read_token(bearer_file, "--bearer-file") if bearer_file is not None else None

    def of_request(ctx: Context) -> Credential:
        header = str(ctx.request.headers.get("authorization", "")) if ctx.request is not None else ""
        return header[len(_BEARER) :].strip() if header.lower().startswith(_BEARER) else None

    return of_request if bearer_file is None else of_file


async def _serve(
    enforcement: Enforcement, upstream: Upstream, address: tuple[str, int] | None, issuer: str | None
) -> None:
    """Until the client hangs up, or a signal."""
    if address is None:
        await over_stdio(enforcement, upstream)
        return
    subjects = _Subjects(enforcement)
    try:
        async with upstream.connections() as behind:
            async with behind.of(ALL) as client:
                told = client.server_capabilities
            server = proxy_server(enforcement, told, lambda ctx: behind.of(_subject(ctx)))
            await _listen(server, subjects, *address, issuer)
    finally:
        await enforcement.close()


async def _listen(server: Server[None], subjects: _Subjects, host: str, port: int, issuer: str | None) -> None:
    """Streamable HTTP on a loopback address; a page of another origin, or under another name, is refused."""
    names = [f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")]
    security = TransportSecuritySettings(allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names])
    app = server.streamable_http_app(transport_security=security, host=host)
    door = _Door(app, TransportSecurityMiddleware(security), subjects, host, port, issuer)
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise click.UsageError(f"--listen: {error.strerror}") from None
    click.echo(f"pdp proxy: listening on http://{host}:{port}/mcp.", err=True)
    await uvicorn.Server(uvicorn.Config(door, log_level="warning", access_log=False)).serve(sockets=[listener])


class _Door:
    """ASGI: what of HTTP reaches `app`: one message of JSON-RPC, or none, of a verified subject, to whom its session
    belongs from then on. With 401 MCP clients sign in (RFC 9728 with an `issuer`)."""

    def __init__(
        self,
        app: Starlette,
        security: TransportSecurityMiddleware,
        subjects: _Subjects,
        host: str,
        port: int,
        issuer: str | None,
    ) -> None:
        origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._app, self._security, self._subjects, self._issuer = app, security, subjects, issuer
        self._document = {"resource": f"{origin}/mcp", "authorization_servers": [issuer]}
        self._metadata = f'resource_metadata="{origin}{_METADATA}"' if issuer is not None else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answering = self._app if scope["type"] != "http" else await self._entered(scope, receive)
        await answering(scope, receive, send)

    async def _entered(self, scope: Scope, receive: Receive) -> ASGIApp:
        """What answers this request."""
        if (foreign := await self._security.validate_request(Request(scope))) is not None:
            return foreign
        if scope["path"] == _METADATA and self._issuer is not None:
            return JSONResponse(self._document)
        given = Headers(scope=scope).getlist("authorization")
        if challenge := challenged(given):
            return self._sign_in(challenge)
        token = given[0][len(_BEARER) :].strip()
        verified = await self._subjects.verified(token)
        if isinstance(verified, ToolList):
            subjects_own = verified.code.startswith("subject.")
            return self._sign_in(_INVALID) if subjects_own else JSONResponse(_NOBODY, _status(verified))
        scope["user"] = AuthenticatedUser(AccessToken(token=token, client_id=verified, scopes=[]))
        return self._app if scope["method"] != "POST" else await _with_message(self._app, scope, receive)

    def _sign_in(self, challenge: str) -> JSONResponse:
        between = " " if challenge == "Bearer" else ", "
        told = {"www-authenticate": f"{challenge}{between}{self._metadata}" if self._metadata else challenge}
        return JSONResponse(_NOBODY, 401, told)


class _Subjects:
    """Whose each access token is, by the word of the decision point, which is kept as long as a list would be."""

    def __init__(self, enforcement: Enforcement) -> None:
        self._enforcement = enforcement
        self._kept: dict[bytes, tuple[str, float]] = {}  # (subject, until) by digest of the token

    async def verified(self, token: str) -> str | ToolList:
        """The subject, or the answer by which it is none."""
        key, now = hashlib.sha256(token.encode()).digest(), time.time()
        if (known := self._kept.get(key)) is not None and now < known[1]:
            return known[0]
        shown = await self._enforcement.client.filter_tools(Listing(self._enforcement.server, []), token)
        if not shown.allowed or shown.valid_until is None:
            return shown
        claims = _claims(token)
        named = [claims.get("iss"), claims.get("sub")]
        subject = json.dumps(named) if all(isinstance(each, str) for each in named) else key.hex()
        self._kept = {each: kept for each, kept in self._kept.items() if now < kept[1]}
        self._kept[key] = (subject, shown.valid_until)
        return subject


def _subject(ctx: Context) -> str:
    """Whose request it is, as `_Door` verified it."""
    request: Any = ctx.request
    return str(request.user.username)


def _status(denied: ToolList) -> int:
    """403 for a denial, 503 where there was no answer."""
    return 403 if denied.decision_id else 503


async def _with_message(app: ASGIApp, scope: Scope, receive: Receive) -> ASGIApp:
    """The application with the message in the body; the refusal of what is none."""
    body = b""
    while len(body) <= _MAX_BODY:
        part = await receive()
        body += part.get("body", b"")
        if not part.get("more_body"):
            break
    if len(body) > _MAX_BODY:
        return JSONResponse(_NOBODY, 413)
    try:
        read_message(body)
    except MCPError as error:
        return Response(refusal(error).model_dump_json(), 400, media_type="application/json")
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return whole.pop() if whole else await receive()

    return lambda _scope, _receive, send: app(scope, again, send)


def challenged(authorization: Sequence[str], now: float | None = None) -> str:
    """The challenge for a request with these headers: without a token, or with a JWT that says itself that it has
    expired. "" for what the decision point is to look at."""
    if len(authorization) != 1 or not authorization[0].lower().startswith(_BEARER):
        return "Bearer"
    expires = _claims(authorization[0]).get("exp")
    expired = isinstance(expires, int | float) and expires <= (time.time() if now is None else now)
    return _INVALID if expired else ""


def _claims(token: str) -> Mapping[str, object]:
    """What a JWT says, unverified; nothing of another kind of token."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
