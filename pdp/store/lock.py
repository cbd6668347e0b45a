"""One writer per store: an OS lock on a file in the store's directory, held until the process ends."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from pdp.core.errors import ConfigurationFault


class DirectoryLock:
    """Creates the directory (0700) where needed and locks it.

    Raises ConfigurationFault: `store.path` when it cannot be created or is no directory, `store.permissions`
    when others may write to it, `store.locked` when another process holds it.
    """

    def __init__(self, directory: Path) -> None:
        _own_directory(directory)
        self._fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise ConfigurationFault(
                "store.locked",
                "store.path: another process uses this store; stop it, or give this one a directory of its own",
            ) from None

    def release(self) -> None:
        """Let the next process in."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _own_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = directory.stat().st_mode
    except OSError as e:
        raise ConfigurationFault(
            "store.path", "store.path: cannot be used as a directory; name one this process may create", detail=str(e)
        ) from None
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationFault(
            "store.permissions", "store.path: the directory may be written by others; run chmod go-w on it"
        )
