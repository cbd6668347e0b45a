"""A watched file: parsed again when its status changes; the last good content serves for a while."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from pdp.core.check import NS
from pdp.core.errors import ConfigurationFault

T = TypeVar("T")
_LOOK_AGAIN_NS = NS  # look at the file's status at most once a second
_Stamp = tuple[int, int, int, int]


class WatchedFile(Generic[T]):
    """The parsed content of one file.

    `parse` raises ConfigurationFault. So does the constructor, with `<prefix>.unreadable` or
    `<prefix>.unsafe_permissions` besides: a service must not start on a file it cannot trust. Later faults
    keep the last good content for `max_stale_ns` after it was last seen good, then there is none.
    """

    def __init__(
        self, path: Path, parse: Callable[[bytes], T], *, limit: int, max_stale_ns: int, prefix: str, key: str
    ) -> None:
        self._path, self._parse, self._limit = path, parse, limit
        self._max_stale_ns, self._prefix, self._key = max_stale_ns, prefix, key
        self._looked_ns: int | None = None
        self._good_ns: int | None = None
        self.problem = ""  # code of the last fault, empty while the file is good
        self._confirmed = False  # read twice with one stamp: a change within one tick of the file's clock leaves none
        self._stamp, self._content = self._read()

    def content(self, at_ns: int, *, now: bool = False) -> T | None:
        """The content, or None when the last good one is too old. `now` looks even if we have just looked."""
        if self._good_ns is None:
            self._good_ns = at_ns  # the constructor has just read it
        if now or self._looked_ns is None or not 0 <= at_ns - self._looked_ns < _LOOK_AGAIN_NS:
            self._looked_ns = at_ns
            self._look(at_ns)
        return self._content if self.age_ns(at_ns) <= self._max_stale_ns else None

    @property
    def last(self) -> T:
        """The content that was last good, however old."""
        return self._content

    def age_ns(self, at_ns: int) -> int:
        """Time since the file was last seen good."""
        return 0 if self._good_ns is None else max(0, at_ns - self._good_ns)

    def _look(self, at_ns: int) -> None:
        try:
            if self._confirmed and _stamp(self._path.stat()) == self._stamp and not self.problem:
                self._good_ns = at_ns
                return
            before = self._stamp
            self._stamp, self._content = self._read()
            self._confirmed = self._stamp == before
        except ConfigurationFault as fault:
            self.problem = fault.code
        except OSError:
            self.problem = f"{self._prefix}.unreadable"
        else:
            self.problem, self._good_ns = "", at_ns

    def _read(self) -> tuple[_Stamp, T]:
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                raw = file.read(self._limit + 1)
        except OSError as error:
            raise ConfigurationFault(
                f"{self._prefix}.unreadable",
                f"`{self._key}` cannot be read; give a readable file",
                detail=f"{self._path}: {error.strerror}",
            ) from None
        if status.st_mode & 0o002:
            raise ConfigurationFault(
                f"{self._prefix}.unsafe_permissions",
                f"`{self._key}` is writable by everyone; run `chmod o-w` on it",
                detail=str(self._path),
            )
        if len(raw) > self._limit:
            raise ConfigurationFault(
                f"{self._prefix}.too_large",
                f"`{self._key}` is larger than {self._limit} bytes",
                detail=str(self._path),
            )
        return _stamp(status), self._parse(raw)


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
