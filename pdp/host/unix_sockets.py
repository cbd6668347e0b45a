"""Unix sockets, before they are bound."""

from __future__ import annotations

import socket
from pathlib import Path

_PROBE_SECONDS = 1.0


def answers(path: Path) -> bool:
    """Whether a process listens there; in doubt, yes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
        return True
