"""`pdp proxy` without a named decision point: one of the user's own, in development mode (`pdp hook serve`)."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click
from typing_extensions import override

from pdp.cli import proxy_pin
from pdp.cli.confining import LIMITS, listed_by, not_started, refuse_reach, say_confinement
from pdp.cli.connection import decided_in_time
from pdp.client import AsyncClient, Claims, Decision, Listing, Session, ToolCall, ToolList, Waited
from pdp.client.mcp.enforcement import Enforcement, EnforcementOptions
from pdp.client.mcp.proxy import Upstream, over_stdio
from pdp.client.values import Credential
from pdp.core.call.methods import TARGET_KINDS, label_of
from pdp.core.errors import ConfigurationFault
from pdp.core.text.injection.excerpt import visible
from pdp.host.confinement import Confinement
from pdp.host.opening import ClientStreams
from pdp.host.program_files import program_digest
from pdp.local import hook
from pdp.local import installed as local
from pdp.local.installed import LocalInstallation, LocalServer
from pdp.registry.live import StdioServer
from pdp.runtime.telemetry import logs

_TOKEN_SECONDS = 300.0  # after which another is asked for
_END_SECONDS = 5.0  # that a server may take to end
_START_SECONDS = 60.0  # that a server may take to list its tools
_FETCHING = frozenset({"uvx", "npx", "bunx", "pipx"})
_ENGINES = frozenset({"docker", "podman", "nerdctl"})
_ANSWER_SECONDS = 15.0  # of the decision point, on a machine that does other things besides
# codes of what is not, or no longer, as it was pinned
_UNPINNED = frozenset({"tool.drifted", "tool.unknown", "target.drifted", "target.unknown", "registry.expired"})


@dataclass(frozen=True, slots=True)
class OwnProxy:
    """A proxy for `command`. `state` is where its decision point lives, None for the user's own place."""

    command: tuple[str, ...]
    state: Path | None
    server: str | None
    env: tuple[str, ...]
    patience: float
    confinement: Confinement | None

    def pin(self) -> None:
        """Have the user read what the server offers, and sign it."""
        proxy_pin.at_a_terminal()
        self._startable()
        home = self._opened(make=True)
        server = self._described(home)
        _apart(home, server)
        source = StdioServer(
            server.command[0],
            tuple(server.command[1:]),
            _environment(server),
            Path(server.folder),
            server.confinement,
        )
        say_confinement(server.confinement, server.id, Path(server.folder))
        listed = listed_by(source, timeout_seconds=_START_SECONDS)
        proxy_pin.pin(home, server, listed)
        _say(f"the agent starts: {shlex.join(['pdp', 'proxy', *self._state(), '--', *self.command])}")

    def serve(self, opening: ClientStreams) -> None:
        """Serve the agent until it hangs up. Raises Fault."""
        logs.configure("error", "text")
        hook.unreadable()  # it will hold tokens
        home = self._opened(make=False)
        server = home.server_of(self.command, Path.cwd())
        if server is None or (self.server or server.id) != server.id:
            raise self._not_pinned()
        _say(f"{server.id} is decided by a decision point of your own, in development mode.")
        _apart(home, server)
        say_confinement(server.confinement, f"pdp proxy: {server.id}", Path(server.folder))
        _say(f"it may offer {_counted(home, server)}, which you have read; all else is refused.")
        _say("what only reads goes through; the rest waits for you, and is listed by " + self._approvals("list"))
        _say(f"policy and records are in {home.folder}; who can write there decides.")
        _say("keys lie in no file; but a program that runs as you could ask for your tokens, and answer for you.")
        asyncio.run(self._serve(home, server, opening))

    async def _serve(self, home: LocalInstallation, server: LocalServer, opening: ClientStreams) -> None:
        claims = Claims(local.LOCAL_ISSUER, home.user, home.claims())
        resident = _Resident(home, server.id)
        options = EnforcementOptions(
            credential=lambda _ctx: claims,
            session=lambda _ctx: resident.session,
            patience=self.patience,
            inspects_results=True,
        )
        env, rules = _environment(server), server.confinement
        upstream = Upstream(tuple(server.command), None, env, server.folder, rules, program=server.program)
        beginning = asyncio.create_task(resident.begun())  # it takes seconds, as the server may
        beginning.add_done_callback(lambda task: None if task.cancelled() else task.exception())
        enforcement = Enforcement(server.id, lambda: _PatientClient(home, self, resident), options)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        serving = asyncio.create_task(over_stdio(enforcement, upstream, opening))
        ending = asyncio.create_task(ended.wait())
        await asyncio.wait((serving, ending), return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        beginning.cancel()
        if serving.done():
            self._ended(serving)
            return
        serving.cancel()
        await asyncio.wait((serving,), timeout=_END_SECONDS)  # the server ends, and its home goes
        os._exit(128 + signal.SIGTERM)  # a thread may still write what nobody reads

    def _opened(self, *, make: bool) -> LocalInstallation:
        folder = (self.state or local.state_folder(os.environ)).absolute()
        try:
            return local.load(folder)
        except ConfigurationFault as fault:
            if fault.code != "local.none":
                raise
            if not make:
                raise self._not_pinned() from None
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return local.create(folder)

    def _described(self, home: LocalInstallation) -> LocalServer:
        """How the server is to be started: by what is said now."""
        here = Path.cwd()
        known = home.server_of(self.command, here)
        taken = [each.id for each in home.servers()]
        if self.server in taken and (known is None or known.id != self.server):
            raise click.UsageError("--server: this is the name of another command; choose another")
        name = self.server or (known.id if known is not None else local.server_id(self.command, taken))
        allowed = self.confinement or Confinement()
        return LocalServer(
            id=name,
            command=list(self.command),
            folder=str(here),
            read=list(allowed.read),
            write=list(allowed.write),
            network=allowed.network,
            unconfined=self.confinement is None,
            env=list(self.env),
            limits={
                name: most for name in LIMITS if (most := getattr(allowed, name)) != getattr(Confinement(), name)
            },
            program=_program(self.command, here),
        )

    def _startable(self) -> None:
        """Raises UsageError for a launcher that needs more than it is allowed."""
        program, allowed = Path(self.command[0]).name, self.confinement
        if allowed is None:
            return
        if program in _ENGINES:
            raise click.UsageError(f"{program} starts the server elsewhere, so it cannot be confined: --unconfined")
        if program in _FETCHING and not allowed.network:
            raise click.UsageError(
                f"{program} fetches the server whenever it starts, so what runs may differ from what you read: "
                "install the server and give its own command. Or let it: --allow-network"
            )

    def _not_pinned(self) -> ConfigurationFault:
        return ConfigurationFault(
            "proxy.not_pinned",
            f"Nobody has read what this server offers, so nothing is started. Run: {self._again()}",
        )

    def _ended(self, serving: asyncio.Task[None]) -> None:
        """Raises ConfigurationFault `proxy.server`, `proxy.changed`, where the client did not end it."""
        try:
            serving.result()
        except Exception as error:  # noqa: BLE001 - the SDK raises whatever a server provokes
            raise not_started(error, f"read it again: {self._again()}") from None

    def _again(self) -> str:
        return shlex.join(["pdp", "proxy", "--pin", *self._state(), "--", *self.command])

    def said_pending(self, call: ToolCall, decision: Decision) -> None:
        """Tell the user, on standard error, what waits and how to answer."""
        for wanted in decision.pending.requirements if decision.pending is not None else ():
            name = visible(label_of(call.kind, call.tool))
            _say(f"{name} waits for you: {self._approvals('approve', wanted.short_code)}")

    def said_unpinned(self, call: ToolCall) -> None:
        """Tell the user that something is not what was read."""
        name = visible(label_of(call.kind, call.tool))
        _say(f"{name} is not what you read, and was refused. To read it again: {self._again()}")

    def _approvals(self, *words: str) -> str:
        state = () if self.state is None else ("--proxy-state", str(self.state.absolute()))
        return shlex.join(["pdp", "approvals", *words, *state])

    def _state(self) -> tuple[str, ...]:
        return () if self.state is None else ("--state", str(self.state.absolute()))


class _Resident:
    """The connection to the process that decides (`pdp hook serve`), which starts where none runs: it says which
    session this start of the proxy has, and gives a token, which it alone can sign."""

    def __init__(self, home: LocalInstallation, server: str) -> None:
        self._home, self._server = home, server
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._token, self._asked = "", 0.0
        self.session: Session | None = None  # None before the first answer
        self._turn = asyncio.Lock()

    async def begun(self) -> Session | None:
        """The session, for as long as this process runs: an agent chooses none. Raises ConfigurationFault."""
        await self.token()
        return self.session

    async def token(self) -> str:
        """With which the proxy asks. Raises ConfigurationFault `local.start`."""
        async with self._turn:
            try:
                if self._streams is None or self._streams[0].at_eof():
                    await self._connect()
                elif 0 <= time.time() - self._asked < _TOKEN_SECONDS:
                    return self._token
                else:
                    await self._ask(self._streams, b"\n")
            except (OSError, ValueError, hook.BlockedError) as error:
                self._streams = None
                raise ConfigurationFault(
                    "local.start",
                    "Your decision point does not answer; hook.log in its folder says why.",
                    detail=repr(error),
                ) from None
            return self._token

    async def _connect(self) -> None:
        connection = await asyncio.to_thread(hook.connected, str(self._home.folder))
        self._streams = await asyncio.open_unix_connection(sock=connection)
        start = {
            "server": self._server,
            "folder": str(Path.cwd()),
            "session": self.session.id if self.session else "",
        }
        await self._ask(self._streams, f"{hook.PROXY}\n{json.dumps(start)}\n".encode())

    async def _ask(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], said: bytes) -> None:
        (reader, writer), asked = streams, time.time()
        writer.write(said)
        await writer.drain()
        answer = json.loads(await reader.readline())
        self.session, self._token, self._asked = Session(answer["session"]), str(answer["token"]), asked


class _PatientClient(AsyncClient):
    """The client of a user's own decision point: says what waits, and waits for the user as long as its patience."""

    def __init__(self, home: LocalInstallation, own: OwnProxy, resident: _Resident) -> None:
        super().__init__(home.socket, token=resident.token, timeout=_ANSWER_SECONDS)
        self._own, self._resident = own, resident

    @override
    async def filter_tools(
        self,
        listing: Listing,
        credential: Credential = None,
        *,
        session: Session | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ToolList:
        session = await self._resident.begun()
        return await super().filter_tools(
            listing, credential, session=session, request_id=request_id, timeout=timeout
        )

    @override
    async def decide(
        self,
        call: ToolCall,
        credential: Credential = None,
        *,
        session: Session | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Decision:
        session, once = await self._resident.begun(), super().decide

        async def asked(each: ToolCall) -> Decision:
            known = request_id if each is call else None
            return await once(each, credential, session=session, request_id=known, timeout=timeout)

        async def waited(resume: str, seconds: float) -> Waited:
            return await self.wait(resume, credential, seconds)

        decision = await decided_in_time(
            call, asked, waited, self._own.patience, lambda pending: self._own.said_pending(call, pending)
        )
        if decision.code in _UNPINNED:
            self._own.said_unpinned(call)
        return decision


def _program(command: tuple[str, ...], folder: Path) -> str:
    """The digest of what the command runs. Raises UsageError."""
    try:
        return program_digest(command, str(folder))
    except OSError as error:
        raise click.UsageError(f"COMMAND: what it runs cannot be read ({error.strerror or error})") from None


def _apart(home: LocalInstallation, server: LocalServer) -> None:
    """Raises UsageError for a server that could read or write what its own decision point decides by."""
    rules = server.confinement
    refuse_reach(rules, server.command, server.folder, {"--state": home.folder})
    for path in (*rules.read, *rules.write) if rules is not None else ():
        if Path(path).resolve().is_relative_to(home.folder):
            raise click.UsageError("--allow-read, --allow-write: not within the folder of your decision point")


def _counted(home: LocalInstallation, server: LocalServer) -> str:
    """How many of each kind are pinned and not refused."""
    kinds = [each.kind for each in home.tools() if each.server == server.id]
    return ", ".join(f"{kinds.count(kind)} {kind}s" for kind in TARGET_KINDS)


def _environment(server: LocalServer) -> Mapping[str, str]:
    return {name: os.environ[name] for name in server.env if name in os.environ}


def _say(text: str) -> None:
    click.echo(f"pdp proxy: {text}", err=True)
