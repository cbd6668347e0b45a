"""A process of this installation that another one of it starts, and that ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

# of this installation's modules, whatever the user's environment and working directory are
IMPORTS = "import sys; at = sys.argv.index('--'); sys.path[:] = sys.argv[at + 1:]; "
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4


class Child(Protocol):
    """A process that was started."""

    async def wait(self) -> object:
        """Until it has ended."""
        ...

    def kill(self) -> None:
        """End it now. Raises ProcessLookupError where it has ended."""
        ...


def command(entry: str, *words: str) -> Sequence[str]:
    """The command that runs `entry`, which begins with `IMPORTS`, with `words` as its arguments."""
    paths = [path for path in sys.path if Path(path).is_absolute()]
    return [sys.executable, "-I", "-B", "-c", entry, *words, "--", *paths]


async def start(module: str, theirs: socket.socket, *words: str) -> Child:
    """Start a process whose `module` has a function `run_as_child`, which is given one end of a pair of sockets, our
    process id, and `words`. Raises OSError."""
    entry = f"{IMPORTS}from {module} import run_as_child; run_as_child(*map(int, sys.argv[1:3]), *sys.argv[3:at])"
    return await asyncio.create_subprocess_exec(
        *command(entry, str(theirs.fileno()), str(os.getpid()), *words),
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # a terminal's signals pass it by
        pass_fds=(theirs.fileno(),),
    )


async def ended(child: Child, seconds: float) -> None:
    """Wait until it has ended; kill it where that takes longer."""
    ending = asyncio.ensure_future(child.wait())
    await asyncio.wait([ending], timeout=seconds)
    if not ending.done():
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await ending


def end_with(parent: int) -> None:
    """End this process with its parent, at once where the system can (Linux); elsewhere it finds its socket closed.
    The parent says when it is to end: signals to its group are not for us."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def seal() -> None:
    """Close this process to others of this user: it leaves no core, and no debugger may attach."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
