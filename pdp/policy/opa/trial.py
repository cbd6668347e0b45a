"""Running a bundle's own tests on a real OPA, strictly: a builtin error fails a test, and only true passes it.

`opa test` is not used: it evaluates without strictness, so a test may pass there that the engine would deny.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from typing_extensions import override

from pdp.core.errors import EngineFault
from pdp.core.policy import Bundle
from pdp.policy.gate.report import TestReport, TestResult
from pdp.policy.opa.boot import check, command
from pdp.policy.opa.bundle import pack

START_SECONDS = 10.0
TEST_SECONDS = 30.0  # for one test
_MEMORY_MB = 1024
_ARGUMENTS = ["run", "--server", "--unix-socket-perm=600", "--skip-version-check", "--log-level=error", "--bundle"]


def run_tests(bundle: Bundle, binary: Path, found: TestReport) -> TestReport:
    """The tests of `found` (a run on the embedded engine) once more, on OPA. Blocks.

    Raises EngineFault (`policy.unavailable`) when OPA does not start with the bundle, ConfigurationFault
    (`engine.binary`).
    """
    check(binary)
    files = {module.path: module.text.encode() for module in bundle.modules}
    with tempfile.TemporaryDirectory(prefix="pdp-opa-") as name:
        folder = Path(name)
        content = pack({**files, "org/data.json": bundle.org}, revision=bundle.digest, roots=("",))
        (folder / "tests.tar.gz").write_bytes(content)
        arguments = [*_ARGUMENTS, "tests.tar.gz", "--addr", f"unix://{folder / 's'}"]
        process = subprocess.Popen(
            command(binary, _MEMORY_MB, arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={},
        )
        with process:
            try:
                connection = _connect(process, folder / "s")
                results = tuple(_run(connection, result) for result in found.results)
                connection.close()
            finally:
                process.kill()
    return replace(found, results=results)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("opa", timeout=TEST_SECONDS)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TEST_SECONDS)
        self.sock.connect(str(self._path))


def _connect(process: subprocess.Popen[bytes], path: Path) -> _Connection:
    connection = _Connection(path)
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            connection.connect()
        except OSError:
            connection.close()
            time.sleep(0.02)
        else:
            return connection
    process.kill()
    words = process.stdout.read().decode(errors="replace").strip() if process.stdout else ""
    raise EngineFault("policy.unavailable", f"OPA does not start with this policy: {words[:600]}")


def _run(connection: _Connection, found: TestResult) -> TestResult:
    try:
        path = f"/v1/data/{found.name.replace('.', '/')}?strict-builtin-errors=true"
        connection.request("POST", path, b"{}")
        body = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        connection.close()
        return replace(found, passed=False, error=f"OPA did not answer ({type(error).__name__}).")
    return replace(found, passed=body.get("result") is True, error=_error(body))


def _error(body: dict[str, Any]) -> str:
    if "code" not in body:
        return ""
    told = [
        f"{e.get('message')} at {e.get('location', {}).get('file')}:{e.get('location', {}).get('row')}"
        for e in body.get("errors") or [{"message": body.get("message")}]
    ]
    return "; ".join(told)[:600]
