"""The first moments of an OPA that we start: bind its life to ours, limit it, become it."""

from __future__ import annotations

import os
import resource
import stat
import sys
from pathlib import Path

from pdp.core.errors import ConfigurationFault
from pdp.engines.confinement import die_with

_RESERVED = 3 << 30  # address space that Go sets aside without using it
_ENTRY = "import sys; sys.path[:] = sys.argv[{0}:]; from pdp.engines.opa_boot import main; main(sys.argv[1:{0}])"


def check(binary: Path) -> None:
    """Whoever can write the binary decides. Raises ConfigurationFault (`engine.binary`)."""
    try:
        mode = binary.stat().st_mode
    except OSError as error:
        raise ConfigurationFault("engine.binary", f"policy.opa.binary: cannot be used ({error.strerror}).") from None
    if not stat.S_ISREG(mode) or not mode & stat.S_IXUSR:
        raise ConfigurationFault("engine.binary", "policy.opa.binary: is not an executable file.")
    if mode & stat.S_IWOTH:
        raise ConfigurationFault("engine.binary", "policy.opa.binary: everybody may write it; run `chmod o-w` on it.")


def command(binary: Path, memory_mb: int, arguments: list[str]) -> list[str]:
    """The command that runs `binary` with `arguments`, confined. To be started from the loop's own thread: Linux ends
    it with the thread that started it."""
    own = [str(os.getpid()), str(memory_mb), str(binary.absolute()), *arguments]
    paths = [path for path in sys.path if Path(path).is_absolute()]  # never the working directory
    return [sys.executable, "-I", "-B", "-c", _ENTRY.format(len(own) + 1), *own, *paths]


def main(told: list[str]) -> None:
    """Become the OPA that `told` describes."""
    parent, memory_mb, binary, *arguments = told
    die_with(int(parent))
    memory = int(memory_mb) << 20
    limits = {resource.RLIMIT_AS: memory + _RESERVED, resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0}
    for what, to in limits.items():
        _, hard = resource.getrlimit(what)
        to = to if hard == resource.RLIM_INFINITY else min(to, hard)  # noqa: PLW2901 - the bound that holds
        resource.setrlimit(what, (to, to))
    os.execve(binary, [binary, *arguments], {"GOMEMLIMIT": str(memory)})  # noqa: S606 - no shell is what we want
