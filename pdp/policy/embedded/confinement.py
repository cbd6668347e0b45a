"""The confinement of policy processes: they keep no descriptors, dump no core, write no files, and have bounded
memory. That they end with their parent, and ignore signals, is `host.own_process`.
"""

from __future__ import annotations

import os
import resource

from pdp.host.own_process import lower

_DESCRIPTORS = 64


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
