"""The page that a worker shares with the server: which item of which batch is in progress, and since when.

A worker that loops or dies can no longer say anything on its socket; this is what remains, and it is how one item
is blamed and its neighbours are not.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import tempfile
from dataclasses import dataclass

_SINCE = struct.Struct("<d")
_WHERE = struct.Struct("<QQ")
_SIZE = mmap.PAGESIZE
NONE = 2**64 - 1  # no item is in progress


@dataclass(frozen=True, slots=True)
class Mark:
    """`since` is in seconds of the monotonic clock, which all processes of a machine share."""

    sequence: int
    index: int  # within the batch; NONE between batches
    since: float


def page() -> int:
    """A new file descriptor of one zeroed page, to be shared."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("pdp-progress", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _SIZE)
    return descriptor


class Progress:
    """One side's view of a page. The worker writes, the server reads."""

    __slots__ = ("_map",)

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, _SIZE)

    def write(self, sequence: int, index: int, since: float) -> None:
        """Say what is in progress. The time goes first: a reader that catches the two halves apart sees an item
        that is younger than it is, and looks again later."""
        _SINCE.pack_into(self._map, 0, since)
        _WHERE.pack_into(self._map, _SINCE.size, sequence, index)

    def read(self) -> Mark:
        """What is in progress; all zero before the first batch (sequences start at 1)."""
        sequence, index = _WHERE.unpack_from(self._map, _SINCE.size)
        (since,) = _SINCE.unpack_from(self._map, 0)
        return Mark(sequence, index, since)

    def close(self) -> None:
        """Unmap the page."""
        self._map.close()
