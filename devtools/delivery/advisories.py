"""A dated snapshot of the Python Packaging Advisory Database, answered as OSV answers.

A build that reaches no vulnerability service has this. It knows nothing newer than its first line says. Source:
github.com/pypa/advisory-database, CC BY 4.0; of each advisory its ids, the package and the versions are kept.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from typing_extensions import override

FILE = Path(__file__).with_name("advisories.jsonl")


@dataclass(frozen=True, slots=True)
class Advisories:
    """Advisories in OSV's form by package, of the day `date`."""

    date: str
    by_package: dict[str, list[dict[str, Any]]]

    def of(self, package: str, version: str) -> list[dict[str, Any]]:
        """What is known of one version."""
        known = self.by_package.get(canonicalize_name(package), [])
        return [each for each in known if any(_affects(affected, version) for affected in each["affected"])]


def load(path: Path = FILE) -> Advisories:
    """The snapshot of a file: its date, then an advisory a line."""
    first, *lines = path.read_text().splitlines()
    found: dict[str, list[dict[str, Any]]] = {}
    for advisory in map(json.loads, lines):
        for name in {affected["package"]["name"] for affected in advisory["affected"]}:
            found.setdefault(canonicalize_name(name), []).append(advisory)
    return Advisories(json.loads(first)["date"], found)


def _affects(affected: dict[str, Any], version: str) -> bool:
    return version in affected["versions"] or any(_within(each["events"], version) for each in affected["ranges"])


def _within(events: list[dict[str, str]], version: str) -> bool:
    """Whether a version lies in a range: the last event at or before it introduced the mistake."""
    try:
        at, inside = Version(version), False
        for event in events:
            [(kind, text)] = event.items()
            if kind == "introduced":
                inside = inside or text == "0" or at >= Version(text)
            elif at >= Version(text) if kind == "fixed" else at > Version(text):
                inside = False
    except InvalidVersion:
        return True  # cannot be told apart
    return inside


@contextmanager
def answered(advisories: Advisories) -> Iterator[str]:
    """The URL of a server on loopback that answers OSV's `POST /v1/query` from a snapshot."""

    class OsvAnswers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"vulns": advisories.of(asked["package"]["name"], asked["version"])}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, *_: object) -> None:
            """Nothing: the gate says what was found."""

    with ThreadingHTTPServer(("127.0.0.1", 0), OsvAnswers) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            thread.join()


def take(checkout: Path, packages: set[str], path: Path = FILE) -> int:
    """Writes the snapshot of a checkout or bare repository of the database, for some packages; says how many."""
    date = _git(checkout, "log", "-1", "--format=%cs").strip()
    lines = [json.dumps({"date": date, "source": "github.com/pypa/advisory-database", "licence": "CC-BY-4.0"})]
    for name in _git(checkout, "ls-tree", "-r", "--name-only", "HEAD", "vulns/").splitlines():
        if canonicalize_name(name.split("/")[1]) in packages:
            advisory = yaml.safe_load(_git(checkout, "show", f"HEAD:{name}"))
            if not advisory.get("withdrawn"):
                lines.append(json.dumps(_kept(advisory), sort_keys=True))
    path.write_text("\n".join(lines) + "\n")
    return len(lines) - 1


def _kept(advisory: dict[str, Any]) -> dict[str, Any]:
    affected = []
    for each in advisory["affected"]:
        ranges = [r for r in each.get("ranges", []) if r["type"] == "ECOSYSTEM"]
        kept = [{"type": "ECOSYSTEM", "events": [_texts(event) for event in r["events"]]} for r in ranges]
        # the ranges say it shorter
        versions = [] if kept else [str(version) for version in each.get("versions", [])]
        package = {"name": each["package"]["name"], "ecosystem": "PyPI"}
        affected.append({"package": package, "ranges": kept, "versions": versions})
    return {"id": advisory["id"], "aliases": advisory.get("aliases", []), "affected": affected}


def _texts(event: dict[str, Any]) -> dict[str, str]:
    return {kind: str(version) for kind, version in event.items()}


def _git(checkout: Path, *arguments: str) -> str:
    command = ["git", "-C", str(checkout), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def pinned(lock: Path) -> set[str]:
    """Names in a lock file."""
    return {canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock.read_text(), re.MULTILINE)}
