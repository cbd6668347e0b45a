"""Begins a command in a warm process: `python -I -S begin.py SOCKET WORDS`, where `python WORDS` would else stand.

It gives that its standard streams, folder and environment, and ends with its exit code. SIGTERM kills the command:
when this has ended, so has that. See `warm.py`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys


def main(path: str, *words: str) -> int:
    """The exit code; 1 if the command was ended by a signal, or did not begin."""
    with socket.socket(socket.AF_UNIX) as warm:
        warm.connect(path)
        signal.signal(signal.SIGTERM, lambda *_: warm.shutdown(socket.SHUT_WR))
        socket.send_fds(warm, [b"\0"], [0, 1, 2])
        folder = os.getcwd()  # noqa: PTH109 - pathlib is slow to import
        warm.sendall(json.dumps([words, folder, dict(os.environ)]).encode() + b"\n")
        code = warm.recv(16)
    return int(code) if code.isdigit() else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
