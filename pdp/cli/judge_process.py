"""The judge's own process, as `pdp judge serve` and as the child of `pdp serve`. Only it reads the endpoint's key."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import random
import resource
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pdp.core.errors import Fault
from pdp.judge.options import JudgeOptions, distribution_missing, key_text
from pdp.judge.process import READY
from pdp.judge.serve import JudgeServer
from pdp.judge.session_runner import RunnerEnvironment, SessionRunner
from pdp.secrets.options import VaultOptions
from pdp.secrets.reference import secret
from pdp.telemetry import logs

if TYPE_CHECKING:
    from pdp.judge.endpoint import Endpoint

_PR_SET_DUMPABLE = 4
_IDENTIFIER_BYTES = 12
log = logging.getLogger("pdp.judge")


async def serve(
    options: JudgeOptions, vault: VaultOptions | None, socket: Path, until: Callable[[], Awaitable[object]]
) -> None:
    """Serve at `socket` until `until` returns. Raises ConfigurationFault."""
    model = endpoint(options, vault)
    server = JudgeServer(options, session_runner(options, model))
    try:
        await server.open(socket)
        log.info("judge: serving %s at %s", options.model, options.endpoint)
        sys.stdout.buffer.write(READY)
        sys.stdout.flush()
        await until()
    finally:
        await server.close()
        await model.close()


def endpoint(options: JudgeOptions, vault: VaultOptions | None) -> Endpoint:
    """The model, with its key. Raises ConfigurationFault."""
    try:
        from pdp.judge.endpoint import Endpoint  # noqa: PLC0415 - an extra
    except ImportError:
        raise distribution_missing() from None
    key = secret(options.api_key, vault, where="judge.api_key", at_least=1) if options.api_key else b""
    return Endpoint(
        options,
        key_text(key),
        identifier=lambda: secrets.token_hex(_IDENTIFIER_BYTES),
        wall_s=time.time,
    )


def session_runner(options: JudgeOptions, model: Endpoint) -> SessionRunner:
    """Sessions with the model, by the clocks of this machine."""
    return SessionRunner(
        options, model, RunnerEnvironment(time.monotonic, time.time_ns, random.SystemRandom().random)
    )


def seal() -> None:
    """Close this process to others of this user: it leaves no core, and no debugger may attach."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def run_as_child() -> None:
    """Run as the child of `pdp serve`: standard input is one line, the request, and then open until the end."""
    seal()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # the server drains first
    logs.configure("info", "text")
    request = json.loads(sys.stdin.buffer.readline())
    options = JudgeOptions.model_validate(request["judge"])
    vault = VaultOptions.model_validate(request["vault"]) if request["vault"] is not None else None
    socket = Path(request["socket"])

    async def until() -> None:
        await asyncio.to_thread(sys.stdin.buffer.read)

    try:
        asyncio.run(serve(options, vault, socket, until))
    except Fault as fault:
        log.error("%s: %s", fault.code, fault.message)
        sys.exit(1)
    finally:
        with contextlib.suppress(OSError):  # the parent may be gone and unable to do it
            socket.unlink(missing_ok=True)
            socket.parent.rmdir()


async def signalled() -> None:
    """Wait for SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
