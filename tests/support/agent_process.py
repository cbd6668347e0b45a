"""A program that starts hooks as coding agents do, for tests: `python agent_process.py`, one JSON object a line.

`{"prompt": EVENT, "command": LINE}` starts LINE by a shell and writes EVENT into a pair of sockets, as Node and Bun
do; with `"by": "pipe"` into a pipe, as Rust does. `{"echo": PATH}` has it say back what it is told there, as editors
have sockets of their own. `{"tool": LINE}` runs LINE as its own shell tool. Each is answered
with the exit code and what was printed, as JSON.
"""

import json
import os
import socket
import subprocess
import sys
import threading


def told(event: str, command: str, by: str) -> list[int | str]:
    if by == "pipe":
        done = subprocess.run(["sh", "-c", command], input=event.encode(), stdout=subprocess.PIPE, check=False)
        return [done.returncode, done.stdout.decode()]
    ours, theirs = socket.socketpair()
    with ours, subprocess.Popen(["sh", "-c", command], stdin=theirs.fileno(), stdout=subprocess.PIPE) as started:
        theirs.close()
        ours.sendall(event.encode())
        ours.shutdown(socket.SHUT_WR)
        printed = started.communicate()[0].decode()
        return [started.returncode, printed]


def run(command: str) -> list[int | str]:
    """With a pair of sockets for its input, as Node gives it one."""
    ours, theirs = socket.socketpair()
    with ours, subprocess.Popen(["bash", "-c", command], stdin=theirs.fileno(), stdout=subprocess.DEVNULL) as started:
        theirs.close()
        ours.shutdown(socket.SHUT_WR)
        return [started.wait(), ""]


def echo(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(connection.recv(65536))


def listens(path: str) -> list[int | str]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    threading.Thread(target=echo, args=[listener], daemon=True).start()
    return [0, ""]


for line in sys.stdin:
    asked = json.loads(line)
    if "echo" in asked:
        answer = listens(asked["echo"])
    elif "tool" in asked:
        answer = run(asked["tool"])
    else:
        answer = told(asked["prompt"], asked["command"], asked.get("by", "sockets"))
    os.write(1, json.dumps(answer).encode() + b"\n")
