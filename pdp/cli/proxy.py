"""`pdp proxy`: an MCP server in front of another one that asks the decision point before anything is carried out."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
import uvicorn
from mcp.server import Server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from pdp.adapters.mcp.answers import DENIED, SAFE_MESSAGE
from pdp.adapters.mcp.enforcement import Context, Enforcement, EnforcementOptions
from pdp.adapters.mcp.proxy import Upstream, over_stdio
from pdp.adapters.mcp.proxy import proxy as proxy_server
from pdp.cli.commands import PLAINTEXT
from pdp.cli.confining import confinement_options, say_confinement
from pdp.cli.connection import read_token, tls_of
from pdp.cli.proxy_own import OwnProxy
from pdp.client import AsyncClient, PlaintextRefusedError, Session
from pdp.client.values import Credential
from pdp.confinement import Confinement

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_LOOPBACK = ("127.0.0.1", "::1")
_BEARER = "bearer "
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
        _own(OwnProxy(command, state, server, env_names, patience, confinement), named, pinning=pinning)
        return
    if pinning or state is not None or server is None:
        raise click.UsageError("with --target give --server, and neither --pin nor --state")
    _whole(command, named)
    address = _address(listen) if listen else None
    tls = tls_of(ca, certificate, key)

    def connect() -> AsyncClient:
        token = None if caller_token_file is None else lambda: read_token(caller_token_file, "--caller-token-file")
        return AsyncClient(target, tls=tls, token=token)

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
    try:
        async with upstream.connected() as client:
            await _listen(proxy_server(enforcement, client), *address, issuer)
    finally:
        await enforcement.close()


async def _listen(server: Server[None], host: str, port: int, issuer: str | None) -> None:
    """Streamable HTTP on a loopback address; a page of another origin, or under another name, is refused."""
    names = [f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")]
    security = TransportSecuritySettings(allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names])
    app = server.streamable_http_app(transport_security=security, host=host)
    config = uvicorn.Config(
        _SignIn(app, host, port, issuer), host=host, port=port, log_level="warning", access_log=False
    )
    click.echo(f"pdp proxy: listening on http://{host}:{port}/mcp.", err=True)
    await uvicorn.Server(config).serve()


class _SignIn:
    """ASGI: 401 for a request that could be nobody's, by which MCP clients sign in (RFC 9728 with an `issuer`); the
    rest goes to `app`."""

    def __init__(self, app: Starlette, host: str, port: int, issuer: str | None) -> None:
        origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._app, self._issuer = app, issuer
        self._document = {"resource": f"{origin}/mcp", "authorization_servers": [issuer]}
        self._metadata = f'resource_metadata="{origin}{_METADATA}"' if issuer is not None else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == _METADATA and self._issuer is not None:
            await JSONResponse(self._document)(scope, receive, send)
            return
        if scope["type"] == "http" and (challenge := challenged(Headers(scope=scope).getlist("authorization"))):
            between = " " if challenge == "Bearer" else ", "
            told = {"www-authenticate": f"{challenge}{between}{self._metadata}" if self._metadata else challenge}
            await JSONResponse(_NOBODY, 401, told)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def challenged(authorization: Sequence[str], now: float | None = None) -> str:
    """The challenge for a request with these headers: without a token, or with a JWT that says itself that it has
    expired. "" for what the decision point is to look at."""
    if len(authorization) != 1 or not authorization[0].lower().startswith(_BEARER):
        return "Bearer"
    try:
        body = authorization[0].split(".")[1]
        expires = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"]
        return 'Bearer error="invalid_token"' if expires <= (time.time() if now is None else now) else ""
    except (IndexError, KeyError, TypeError, ValueError, RecursionError):
        return ""  # of another kind
