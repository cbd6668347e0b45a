"""Other decision points side by side, where their binaries are present: the same policy on the same input.

OPA: `opa run --server` with our bundle, asked over HTTP on loopback with the very input document of the measured
call, its decision log written to a file. It does less: it verifies no token and checks no schema (the document
arrives finished), its log is not synced, and its answer does not wait for it. Cerbos has a policy language of its
own and cannot evaluate the bundle; it is named and left out.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from devtools.bench.figures import Figure, Spread
from devtools.bench.harness import START_SECONDS, STOP_SECONDS, BenchFault, cpu_seconds
from devtools.bench.measure import Bench
from pdp.policy.bundle import read_bundle, shipped_rego
from pdp.policy.opa.bundle import archive

THREADS = 8
_PATH = "/v1/data/pdp/decision"
_HEADERS = {"content-type": "application/json"}


def opa() -> str | None:
    """The binary: on the PATH, or where CI puts it."""
    return shutil.which("opa") or shutil.which("opa", path=".tools/bin")


def measure(bench: Bench, document: bytes) -> list[Figure]:
    """CPU of OPA per evaluation over our echo, interleaved. Nothing without an `opa`. Raises BenchFault."""
    if shutil.which("cerbos"):
        bench.say("cerbos: has no Rego, so it cannot do the same work; skipped")
    binary = opa()
    if binary is None:
        bench.say("opa: not found; skipped")
        return []
    body = b'{"input":' + document + b"}"
    values, cpu, rates = [], [], []
    with _server(binary, bench) as (pid, port):
        echo = bench.asks("echo")
        _ask(port, body, 0.2)  # warm
        for _ in range(bench.pace.rounds):
            base = echo(bench.pace.seconds)
            before = cpu_seconds(pid)
            answered, seconds = _ask(port, body, bench.pace.seconds)
            used = (cpu_seconds(pid) - before) / answered * 1e6
            values.append(used / base.cpu_us)
            cpu.append(used)
            rates.append(answered / seconds)
    note = f"{Spread(tuple(cpu)).median:.0f} us; {Spread(tuple(rates)).median:.0f}/s with {THREADS} connections"
    what = "peer: OPA server, Rego only, decision log unsynced: CPU over echo"
    return [Figure("opa", what, Spread(tuple(values)), None, note)]


@contextmanager
def _server(binary: str, bench: Bench) -> Iterator[tuple[int, int]]:
    folder = bench.folder / "opa"
    folder.mkdir(exist_ok=True)
    bundle = folder / "bundle.tar.gz"
    bundle.write_bytes(archive(read_bundle(shipped_rego(), bench.world("pdp").sandbox.policy)))
    port = _free_port()
    command = [binary, "run", "--server", "--addr", f"127.0.0.1:{port}", "--bundle", str(bundle)]
    command += ["--set", "decision_logs.console=true", "--log-level", "error", "--skip-version-check"]
    with (folder / "decisions.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait(process, port)
            yield process.pid, port
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    ends = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > ends:
                raise BenchFault("bench.start", "opa does not start; its log says why") from None
            time.sleep(0.05)
        else:
            return


def _ask(port: int, body: bytes, seconds: float) -> tuple[int, float]:
    """(answers, seconds) of a closed loop of `THREADS` connections."""
    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        counts = list(pool.map(_loop(port, body, began + seconds), range(THREADS)))
    return sum(counts), time.perf_counter() - began


def _loop(port: int, body: bytes, ends: float) -> Callable[[int], int]:
    def run(_: int) -> int:
        connection, count = http.client.HTTPConnection("127.0.0.1", port, timeout=10), 0
        while time.perf_counter() < ends or not count:
            connection.request("POST", _PATH, body, _HEADERS)
            answer = connection.getresponse().read()
            if not count and json.loads(answer).get("result", {}).get("effect") != "allow":
                raise BenchFault("bench.answer", "opa: the policy does not allow the call there")
            count += 1
        connection.close()
        return count

    return run
