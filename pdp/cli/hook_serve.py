"""`pdp hook serve`: the process behind the hooks of an agent's user, which stays while they ask.

One for each state folder. It listens on a socket in that folder, which belongs to its user alone, and decides as the
agent's profile says: by a named decision point, or by the user's own within this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from pdp.adapters.hooks.agents import AGENTS, NOT_DECIDED, Agent, HookCall, NotAnEventError
from pdp.adapters.hooks.own_tools import own_tool, reaches
from pdp.authoring import local
from pdp.authoring.local import LocalInstallation
from pdp.cli.connection import decided_in_time, read_token, tls_of
from pdp.client import AsyncClient, Claims, Decision, Session, ToolCall, Waited
from pdp.client.values import Credential
from pdp.core.errors import ConfigurationFault, Fault
from pdp.hook import BLOCKED, MAX_EVENT, SOCKET
from pdp.registry.manifest import Closed, ServerId, first_problem
from pdp.runtime.embedded import decision_point
from pdp.telemetry import logs

IDLE_SECONDS = 3600.0  # after which a process that nobody asks ends
LOCK = "hook.lock"
_ANSWER_SECONDS = 15.0  # of the decision point, on a machine that does other things besides
_EVENT_SECONDS = 60.0  # for an event to arrive whole
log = logging.getLogger("pdp")


class HookProfile(Closed):
    """How one agent's hook decides. Without `target` by the user's own decision point. Paths are absolute."""

    agent: str
    server: ServerId  # the agent's own tools in the registry
    patience: Annotated[float, Field(ge=0, le=600)] = 25.0  # seconds for which a call is held for people
    proxied: list[str] = Field(default_factory=list)  # servers that a proxy decides, by name, command or URL
    servers: dict[str, ServerId] = Field(
        default_factory=dict
    )  # ids in the registry, by the agent's name, command or URL
    target: str | None = None
    caller_token_file: Path | None = None
    bearer_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def profile_file(folder: Path, agent: str) -> Path:
    """Where an agent's profile lies."""
    return folder / "hooks" / f"{agent}.json"


def read_profile(folder: Path, agent: str) -> HookProfile:
    """Raises ConfigurationFault `hook.profile`."""
    try:
        profile = HookProfile.model_validate_json(profile_file(folder, agent).read_bytes())
    except ValidationError as error:
        problem = first_problem(error)
    except OSError as error:
        problem = str(error.strerror)
    else:
        return profile
    raise ConfigurationFault("hook.profile", f"hooks/{agent}.json: {problem}; run `pdp hook install {agent}` again.")


@dataclass(frozen=True, slots=True)
class _Connected:
    """A profile in use: `credential` is made for each question."""

    profile: HookProfile
    client: AsyncClient
    credential: Callable[[], Credential]

    async def decision(self, call: ToolCall, session: Session) -> Decision:
        """The decision once people have answered, or the patience is at its end."""

        async def asked(each: ToolCall) -> Decision:
            return await self.client.decide(each, self.credential(), session=session)

        async def waited(resume: str, seconds: float) -> Waited:
            return await self.client.wait(resume, self.credential(), seconds)

        return await decided_in_time(call, asked, waited, self.profile.patience)


@dataclass(slots=True)
class Resident:
    """Answers events. `home` is the user's own installation, or None where each profile names a decision point;
    `started` is done when the own one answers."""

    folder: Path
    home: LocalInstallation | None
    started: Awaitable[None] | None
    _connected: dict[str, _Connected] = field(default_factory=dict)
    asked: float = field(default_factory=time.monotonic)  # when the last event came

    async def answer(self, name: str, event: bytes) -> tuple[int, bytes]:
        """Exit code and text of the hook. Never raises."""
        try:
            agent = AGENTS[name]
            if await self._allowed(agent, agent.call(event)):
                return 0, agent.proceed
        except NotAnEventError as error:
            return BLOCKED, f"pdp: {error}. The call is blocked.".encode()
        except _RefusedError as error:
            return BLOCKED, f"pdp: {error}".encode()
        except Fault as fault:
            log.error("%s: %s", fault.code, fault.message)
        except Exception:
            log.exception("an event was not decided")
        return BLOCKED, f"pdp: {NOT_DECIDED}".encode()

    async def close(self) -> None:
        """End the connections."""
        for each in self._connected.values():
            await each.client.close()

    async def _allowed(self, agent: Agent, call: HookCall) -> bool:
        """Whether the call may be carried out. Raises _RefusedError."""
        connected = await self._connection(agent)
        profile = connected.profile
        named = call.started or call.server
        if named and named in profile.proxied:
            return True  # its proxy decides; deciding here too would use an approval up
        server = profile.servers.get(named, call.server) if named else profile.server
        if not server:
            raise _RefusedError("Which server is meant is not known, so the call is blocked; its user may say so.")
        tool = None if named else own_tool(agent.id, call.tool)
        if tool is not None and reaches(tool, call.arguments, call.folder, self.folder):
            raise _RefusedError("This would reach where decisions are made, so it is blocked.")
        asked = ToolCall(server, call.tool, call.arguments, tool.definition if tool is not None else None)
        decision = await connected.decision(asked, Session(call.session))
        if not decision.allowed:
            log.info("%s of %s: %s %s", decision.effect, server, decision.code, decision.decision_id)
            raise _RefusedError(decision.safe_message)
        if decision.obligations:
            raise _RefusedError(NOT_DECIDED)  # a hook can honour none
        return True

    async def _connection(self, agent: Agent) -> _Connected:
        """As the profile says now."""
        profile, before = read_profile(self.folder, agent.id), self._connected.get(agent.id)
        if before is not None and before.profile == profile:
            return before
        if before is not None:
            await before.client.close()
        made = self._named(profile) if profile.target is not None else await self._own(agent, profile)
        self._connected[agent.id] = made
        return made

    def _named(self, profile: HookProfile) -> _Connected:
        caller, bearer = profile.caller_token_file, profile.bearer_file
        token = None if caller is None else lambda: read_token(caller, "--caller-token-file")
        tls = tls_of(profile.ca, profile.certificate, profile.key)
        client = AsyncClient(str(profile.target), tls=tls, token=token)
        return _Connected(profile, client, lambda: None if bearer is None else read_token(bearer, "--bearer-file"))

    async def _own(self, agent: Agent, profile: HookProfile) -> _Connected:
        home = self.home
        if home is None or self.started is None:
            raise ConfigurationFault(
                "hook.profile", "No decision point is named, and there is none of the user's own."
            )
        await asyncio.shield(asyncio.ensure_future(self.started))
        client = AsyncClient(home.socket, token=lambda: home.hook_token(time.time_ns()), timeout=_ANSWER_SECONDS)
        claims = Claims(local.LOCAL_ISSUER, home.user, home.claims(agent.id))
        return _Connected(profile, client, lambda: claims)


class _RefusedError(Exception):
    """The call is refused; the message is fit for a model."""


async def serve(folder: Path, idle: float = IDLE_SECONDS) -> None:
    """Serve the hooks of this folder, until a signal or until nobody has asked for `idle` seconds. Returns at once
    where another process serves them. Raises Fault."""
    logs.configure("info", "text")
    local.private(folder)
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        async with _own_point(folder) as (home, started):
            await _listen(Resident(folder, home, started), idle)


@asynccontextmanager
async def _own_point(folder: Path) -> AsyncIterator[tuple[LocalInstallation | None, Awaitable[None] | None]]:
    try:
        home = local.load(folder)
    except ConfigurationFault as fault:
        if fault.code != "local.none":
            raise
        yield None, None
        return
    async with decision_point(home.config, home.socket) as started:
        yield home, started


async def _listen(resident: Resident, idle: float) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    running = 0

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running
        running += 1
        try:
            async with asyncio.timeout(_EVENT_SECONDS):
                name = (await reader.readline()).decode(errors="replace").strip()
                event = await reader.read(MAX_EVENT + 1) if name else b""
                while len(event) <= MAX_EVENT and (more := await reader.read(MAX_EVENT + 1 - len(event))):
                    event += more
            code, text = await resident.answer(name, event)
            writer.write(b"%d %d\n" % (code, len(text)) + text)
            await writer.drain()
        except (OSError, TimeoutError, ValueError):
            log.info("a hook hung up")
        finally:
            running -= 1
            resident.asked = time.monotonic()
            writer.close()

    path = resident.folder / SOCKET
    path.unlink(missing_ok=True)  # the lock is ours, so nobody listens there
    server = await asyncio.start_unix_server(serve_one, path)
    path.chmod(0o600)
    try:
        while not ended.is_set() and (running or time.monotonic() - resident.asked < idle):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), min(idle, 5.0))
    finally:
        server.close()
        path.unlink(missing_ok=True)
        await resident.close()
    if ended.is_set():
        logging.shutdown()
        os._exit(0)  # calls that wait for people need not be waited for: their hooks block them
