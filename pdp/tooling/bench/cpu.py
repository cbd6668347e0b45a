"""CPU per Decide over a bare echo (DESIGN section 12, first line): `python -m pdp.tooling.bench.cpu`.

One fixed allowed call: the subject's JWT and the caller's own (RS256, as most issuers sign), pinned schema, Rego,
durable record. The PDP with its workers, and the echo, are processes of their own; rounds alternate; CPU is what
the kernel charged to the server's processes per answer.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import RSAKey

from pdp.core.check import NS
from pdp.core.digest import Json
from pdp.identity import development
from pdp.identity.keys import DEVELOPMENT_MEMBER, DEVELOPMENT_PREFIX
from pdp.registry.pin import Server
from pdp.registry.review import Review
from pdp.tooling import sandbox
from pdp.tooling.sandbox import ALICE, Sandbox

ROUNDS = 5
SECONDS = 3.0
TICKS = os.sysconf("SC_CLK_TCK")
TOOL: Mapping[str, Json] = {
    "name": "git_log",
    "description": "Shows the commit logs",
    "inputSchema": {
        "type": "object",
        "properties": {"repo_path": {"type": "string"}, "max_count": {"type": "integer"}},
        "required": ["repo_path"],
        "additionalProperties": False,
    },
}
REVIEW = {
    "reviewed_by": "bench",
    "tools": {
        "git_log": {
            "risk": "low",
            "permissions": ["git:read"],
            "labels": [],
            "sinks": [],
            "annotations": {"read_only": True, "open_world": False},
        }
    },
}


def main() -> None:
    """Measure, print a line a round and the medians."""
    folder = Path("var/bench").absolute()
    world = sandbox.create(folder, Server(sandbox.TENANT, "git", "https://mcp.acme.example/git", "bench"))
    now = time.time_ns()
    world.pin([TOOL], Review.model_validate(REVIEW), now)
    tokens = Tokens(world)
    ready = folder / "ready"
    pdp = _start("pdp.cli.main", "serve", "--config", str(world.config), "--ready-file", str(ready))
    echo_target = f"unix:{folder / 'echo.sock'}"
    echo = _start("pdp.tooling.bench.echo", echo_target)
    try:
        _wait(ready)
        _wait(folder / "echo.sock")
        token, request = tokens.caller(now), _request(tokens.subject(now))
        ratios, throughput = [], []
        for i in range(ROUNDS):
            echo_cpu, echo_rate, _ = _round(echo.pid, echo_target, token, request)
            pdp_cpu, pdp_rate, found = _round(pdp.pid, world.socket, token, request)
            ratios.append(pdp_cpu / echo_cpu)
            throughput.append(pdp_rate / echo_rate)
            _say(
                f"round {i + 1}: echo {echo_cpu:.0f} us, {echo_rate:.0f}/s; "
                f"Decide {pdp_cpu:.0f} us, {pdp_rate:.0f}/s, "
                f"p50 {found['p50_us']} us, p99 {found['p99_us']} us, effects {found['effects']}"
            )
        _say(
            f"CPU per Decide over echo: median {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        )
        _say(
            f"throughput over echo: median {statistics.median(throughput):.2f} "
            f"({min(throughput):.2f}-{max(throughput):.2f})"
        )
    finally:
        for process in (pdp, echo):
            process.terminate()
            process.wait(20)


def _start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", module, *arguments], stderr=subprocess.DEVNULL)


def _wait(path: Path) -> None:
    ends = time.monotonic() + 20
    while not path.exists():
        if time.monotonic() > ends:
            raise TimeoutError(path.name)
        time.sleep(0.05)


class Tokens:
    """RS256 tokens of the world's issuer, whose key set is replaced by one RSA key made here."""

    def __init__(self, world: Sandbox) -> None:
        self._world = world
        self._key = RSAKey.generate_key(2048, {"kid": f"{DEVELOPMENT_PREFIX}bench", "use": "sig", "alg": "RS256"})
        keys = {"keys": [self._key.as_dict(private=False)], DEVELOPMENT_MEMBER: True}
        (world.folder / "issuer" / development.JWKS_FILE).write_text(json.dumps(keys))

    def subject(self, now: int) -> str:
        """For whom the agent acts."""
        made = development.claims(
            subject=ALICE.id,
            audience=self._world.server.resource,
            client_id="coding-agent",
            scopes=ALICE.scopes,
            groups=ALICE.groups,
            amr=("pwd",),
        )
        return self._sign({**made, "auth_time": now // NS}, now)

    def caller(self, now: int) -> str:
        """The gateway's own."""
        return self._sign(
            development.claims(subject="gateway", audience=sandbox.CALLER_AUDIENCE, client_id="gateway"), now
        )

    def _sign(self, claims: Mapping[str, Json], now: int) -> str:
        times = {"iat": now // NS, "exp": now // NS + 3600, "jti": f"bench-{now}"}
        header = {"alg": "RS256", "kid": self._key.kid, "typ": "at+jwt"}
        return jwt.encode(header, {**claims, **times}, self._key)


def _request(bearer: str) -> bytes:
    from pdp.client.asking import CallQuestion  # noqa: PLC0415 - only here
    from pdp.client.values import Session, ToolCall  # noqa: PLC0415

    call = ToolCall("git", "git_log", {"repo_path": "/src/project", "max_count": 10}, TOOL)
    question = CallQuestion("x", call, bearer, Session(id="bench"), frozenset())
    encoded: bytes = question.request().SerializeToString()
    return encoded


def _round(pid: int, target: str, token: str, request: bytes) -> tuple[float, float, dict[str, int]]:
    """(CPU microseconds per answer, answers per second, what the load generator saw)."""
    before = _cpu(pid)
    command = [sys.executable, "-m", "pdp.tooling.bench.load", target, token, str(SECONDS)]
    done = subprocess.run(command, input=request, capture_output=True, check=True)
    found = json.loads(done.stdout)
    used = _cpu(pid) - before
    return used / found["answered"] * 1e6, found["answered"] / SECONDS, found


def _cpu(pid: int) -> float:
    """User and system seconds of a process and all its living descendants."""
    total, children = 0.0, [pid]
    parents: dict[int, list[int]] = {}
    stats: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(entry.name))
        stats[int(entry.name)] = (int(fields[11]) + int(fields[12])) / TICKS
    while children:
        current = children.pop()
        total += stats.get(current, 0.0)
        children += parents.get(current, [])
    return total


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is a program


if __name__ == "__main__":
    main()
