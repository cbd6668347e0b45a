"""The server's end of one zygote: start it, have it fork and kill workers, notice its death, end it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pdp.core.errors import BundleFault, ConfigurationFault, EngineFault, Fault
from pdp.core.policy import Bundle
from pdp.policy.embedded import wire
from pdp.policy.embedded.progress import Progress, page
from pdp.policy.embedded.wire import WireError
from pdp.policy.embedded.zygote import ZygoteOptions, kill_command, load_command, spawn_command

_BOOT = "import sys; sys.path[:] = sys.argv[3:]; from pdp.policy.embedded.zygote import main; main()"
_ANSWER_BYTES = 1 << 16
_CLOSE_SECONDS = 2.0
_BOOT_SECONDS = 10.0


class ZygoteProcess:
    """A running, loaded zygote. Made by `start`; ended by `close` or `destroy`. `gone` is set at its end."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._booted = False
        self.version = ""
        self.gone = asyncio.Event()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    async def start(
        cls, bundle: Bundle, digest: str, options: ZygoteOptions, environment: Mapping[str, str]
    ) -> ZygoteProcess:
        """Start a zygote and load `bundle`, whose digest is `digest`.

        Raises BundleFault when the bundle cannot be loaded (or ends the process that tries), EngineFault
        (`policy.unavailable`) when no zygote can be started at all, ConfigurationFault when the wrong engine is
        installed.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            # from the loop's own thread: the zygote is bound to the life of the thread that makes it
            process = _launch(theirs.fileno(), environment)
        except OSError as error:
            ours.close()
            raise EngineFault(
                "policy.unavailable", "The policy engine cannot be started.", detail=f"errno {error.errno}"
            ) from None
        finally:
            theirs.close()
        zygote = cls(process, ours)
        try:
            async with asyncio.timeout(_BOOT_SECONDS + options.load_seconds):
                await zygote._load(load_command(options, bundle), digest)
        except BaseException as error:
            zygote.destroy()
            if isinstance(error, OSError | WireError | ValueError | LookupError):
                raise zygote._failure() from None
            raise
        asyncio.get_running_loop().add_reader(ours, zygote._readable)
        return zygote

    async def _load(self, command: bytes, digest: str) -> None:
        loop = asyncio.get_running_loop()
        frames = wire.Frames(_ANSWER_BYTES)
        while True:
            data = await loop.sock_recv(self._control, _ANSWER_BYTES)
            if not data:
                raise ConnectionResetError
            for answer in frames.feed(data):
                if answer == b"B":
                    self._booted = True
                    await loop.sock_sendall(self._control, command)
                elif answer[:1] == b"R":
                    self._ready(json.loads(answer[1:]), digest)
                    return
                else:
                    raise _refusal(json.loads(answer[1:]))

    def _ready(self, told: dict[str, str], digest: str) -> None:
        if told["digest"] != digest:
            raise EngineFault("policy.mismatch", "The policy engine loaded another bundle.")
        self.version = told["version"]

    def _failure(self) -> Fault:
        if not self._booted:
            return EngineFault("policy.unavailable", "The policy engine cannot be started.")
        return BundleFault(
            "bundle.load", "The engine took too long to load the bundle, or crashed on it; simplify the policy."
        )

    def _readable(self) -> None:
        # a loaded zygote says nothing more; whatever arrives is its end
        asyncio.get_running_loop().remove_reader(self._control)
        self.gone.set()

    def spawn(self, ident: int) -> tuple[socket.socket, Progress]:
        """Have worker `ident` forked; its socket says hello when it is up. Raises OSError if the zygote is dead
        or does not keep up, after which `destroy` is the only thing left to do."""
        descriptor = page()
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            socket.send_fds(self._control, [spawn_command(ident)], [theirs.fileno(), descriptor])
            return ours, Progress(descriptor)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(descriptor)

    def kill(self, ident: int) -> None:
        """Have worker `ident` killed; the end of its socket says when it is dead. Raises OSError like `spawn`."""
        self._control.send(kill_command(ident))

    def destroy(self) -> None:
        """Kill the zygote; the kernel kills its workers with it."""
        if self._control.fileno() != -1:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
        self._process.kill()
        self._process.wait()
        self.gone.set()

    async def close(self) -> None:
        """End the zygote and its workers, and wait until no process is left."""
        if not self.gone.is_set():
            try:
                self._control.shutdown(socket.SHUT_WR)
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self.gone.wait()
            except OSError:
                pass
        self.destroy()


def _refusal(told: dict[str, str]) -> Fault:
    kind = BundleFault if told["code"].startswith("bundle.") else ConfigurationFault
    return kind(told["code"], told["message"])


def _launch(control: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Exec a zygote in a process group of its own, so that a terminal's signals pass it by."""
    # -I leaves out the working directory and PYTHON* variables; it imports exactly what we would, so our own code
    paths = [path for path in sys.path if Path(path).is_absolute()]
    return subprocess.Popen(
        [sys.executable, "-I", "-B", "-c", _BOOT, str(control), str(os.getpid()), *paths],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in environment.items() if name != "RUST_BACKTRACE"},
        pass_fds=(control,),
        cwd="/",
        process_group=0,
    )
