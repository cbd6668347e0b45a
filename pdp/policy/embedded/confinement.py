"""The confinement of policy processes: they end with their parent, keep no descriptors, dump no core,
write no files, and have bounded memory.

A module of its own, since the first moments of an OPA child import it and nothing else.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)  # opened once, not in every fork
_DESCRIPTORS = 64


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent (process id `parent`) dies; exit at once if it is gone.

    Only Linux can do this; elsewhere a process ends at the end of its socket, or by the alarm of its evaluation.
    """
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def ignore_signals() -> None:
    """Terminals and service managers signal whole groups, but the server drains before its workers may end."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the server's mask is inherited, and could block our alarm
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)


def limit(memory_bytes: int) -> None:
    """Limit this process and its children: address space, no core (it would hold arguments), no file writes."""
    lower(resource.RLIMIT_AS, memory_bytes)
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_FSIZE, 0)
    lower(resource.RLIMIT_NOFILE, _DESCRIPTORS)


def keep_only(descriptors: set[int]) -> None:
    """Close every descriptor but the standard three and these."""
    last = 2
    for descriptor in sorted(descriptors):
        os.closerange(last + 1, descriptor)
        last = descriptor
    os.closerange(last + 1, _DESCRIPTORS)


def lower(what: int, to: int) -> None:
    """Lower a limit of this process and its children (`resource.RLIMIT_*`), soft and hard."""
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        to = min(to, hard)
    resource.setrlimit(what, (to, to))
