"""An OPA that we start: a child on a private Unix socket that answers one query, for us alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from pdp.core.digest import sha256_hex
from pdp.core.errors import BundleFault, EngineFault
from pdp.core.policy import Bundle
from pdp.policy.embedded import faults
from pdp.policy.opa.boot import check, command
from pdp.policy.opa.bundle import archive, pack
from pdp.policy.opa.client import OpaClient, Place
from pdp.policy.opa.link import introduce

START_SECONDS = 10.0
_POLL_SECONDS = 0.02
_TAIL = 2000  # bytes of OPA's last words
_ARGUMENTS = [
    "run",
    "--server",
    "--unix-socket-perm=600",
    "--authentication=token",
    "--authorization=basic",
    "--skip-version-check",
    "--log-level=error",
    "--log-level-request=error",
]
# With the token, the one query and the look at the manifests; nothing can be written, by anybody.
_AUTHORIZATION = """package system.authz

default allow := false

allow if {{
	known
	input.method == "POST"
	input.path == ["v1", "data", "pdp", "decision"]
}}

allow if {{
	known
	input.method == "GET"
	input.path == ["v1", "data", "system", "bundles"]
}}

known if crypto.sha256(input.identity) == "{sha256}"
"""


class OpaProcess:
    """A running OPA with one bundle. Made by `start`; ended by `close` or `destroy`. `gone` is set at its end."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._words = b""
        self._listener = asyncio.create_task(self._listen(), name="words of OPA")
        self.gone = asyncio.Event()
        self.client: OpaClient | None = None
        self.bundle = self.version = ""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    async def start(cls, binary: Path, bundle: Bundle, *, token: str, memory_mb: int, connections: int) -> OpaProcess:
        """Start OPA with `bundle` and wait until it answers.

        Raises EngineFault (`policy.unavailable`, `policy.mismatch`), BundleFault (`bundle.load`), ConfigurationFault
        (`engine.binary`).
        """
        check(binary)
        folder = Path(tempfile.mkdtemp(prefix="pdp-opa-"))  # for this user only
        try:
            files = await asyncio.to_thread(_write, folder, bundle, token)
            arguments = [*_ARGUMENTS, "--addr", f"unix://{folder / 's'}", "--bundle", *files]
            process = await asyncio.create_subprocess_exec(
                *command(binary, memory_mb, arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,  # its reasons not to start go here, its log to the other
                stderr=asyncio.subprocess.STDOUT,
                env={},
                cwd=folder,  # so that the bundle has the same name in every process
                process_group=0,  # a terminal's signals pass it by
            )
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise EngineFault(*faults.UNAVAILABLE, detail=f"opa: errno {error.errno}") from None
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        made = cls(process, folder)
        try:
            made.client = await OpaClient.connect(Place(token, folder / "s"), connections)
            made.bundle, made.version = await made._up(made.client, bundle.digest)
            for file in files:
                os.unlink(folder / file)  # noqa: PTH108 - it is loaded; what is not there cannot be read
        except BaseException:
            await made.close()
            raise
        return made

    async def _up(self, client: OpaClient, digest: str) -> tuple[str, str]:
        loop = asyncio.get_running_loop()
        end = loop.time() + START_SECONDS
        while not self.gone.is_set():
            if (self._folder / "s").exists():
                try:
                    return await introduce(client, digest, START_SECONDS)
                except EngineFault as fault:
                    if fault.code != "policy.unavailable" or loop.time() > end:
                        raise
            if loop.time() > end:
                break
            await asyncio.sleep(_POLL_SECONDS)
        words = self._words.decode(errors="replace").replace(f"{self._folder}/", "").strip()
        if "rego_" in words:  # an error of the policy, in OPA's own words; there is no input yet to be quoted
            raise BundleFault("bundle.load", f"OPA does not load the policy: {words[:600]}")
        raise EngineFault(*faults.UNAVAILABLE, detail=f"opa does not start: {words}")

    async def _listen(self) -> None:
        """Keep OPA's last words; what is not read would stop it. At their end it is dead."""
        words = self._process.stdout
        while words is not None and (said := await words.read(4096)):
            self._words = (self._words + said)[-_TAIL:]
        await self._process.wait()
        self.gone.set()

    def destroy(self) -> None:
        """Kill it; it has nothing to lose."""
        if self._process.returncode is None:
            self._process.kill()

    async def close(self) -> None:
        """Kill it, wait until it is gone, and leave nothing behind. Idempotent."""
        if self.client is not None:
            await self.client.close_connection()
        self.destroy()
        await self._listener
        shutil.rmtree(self._folder, ignore_errors=True)


def _write(folder: Path, bundle: Bundle, token: str) -> list[str]:
    """The policy, and what OPA itself allows to whom; it is told only the token's digest."""
    rules = _AUTHORIZATION.format(sha256=sha256_hex(token.encode()))
    authorization = pack({"authz.rego": rules.encode()}, revision="1", roots=("system/authz",))
    made = []
    for name, content in (("policy.tar.gz", archive(bundle)), ("authorization.tar.gz", authorization)):
        (folder / name).write_bytes(content)
        made.append(name)
    return made
