"""Policy of a pull request: `pdp policy check`, `test`, `prove` and `diff` of HEAD against BASE, as a report.

    python run.py --base DIR --head DIR --folder policy --out report.json [--store DIR]

Which widenings are accepted says BASE alone: a line `DIGEST`, of `pdp policy check --json`, in FOLDER.accepted beside
its policy. Exit: 0 nothing is wrong, 1 something is, or could not be found out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SECONDS = 900
MOST = 12_000  # characters of what a command says


def main() -> int:
    """The exit code. What is missing or late is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--base", "--head"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    old, new = given.base / given.folder, given.head / given.folder
    checks = [ran("check", str(new)), ran("test", str(new))]
    if old.is_dir():
        proof = ran("prove", str(old), str(new))
        if proof["exit"] == 10 and accepted(old, new):
            proof |= {"exit": 0, "output": "It widens, and the base branch accepts that.\n" + proof["output"]}
        checks.append(proof)
        if given.store is not None:
            checks.append(ran("diff", str(old), str(new), str(given.store)))
    given.out.write_text(json.dumps({"schema": "pdp.policy-review/1", "checks": checks}), encoding="utf-8")
    for each in checks:
        print(f"pdp policy {each['name']}: exit {each['exit']}")  # noqa: T201 - the log of the job
    return int(any(each["exit"] != 0 for each in checks))


def ran(name: str, *words: str) -> dict[str, Any]:
    """A command of `pdp policy`: its name, exit code and what it said, cut."""
    command = [sys.executable, "-P", "-m", "pdp", "policy", name, *words]
    passed = ("PATH", "HOME", "LD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in passed if name in os.environ} | {"NO_COLOR": "1"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return {"name": name, "exit": 1, "output": f"It took longer than {SECONDS} s."}
    output = done.stdout + done.stderr
    return {"name": name, "exit": done.returncode, "output": output if len(output) <= MOST else output[:MOST] + "…"}


def accepted(old: Path, new: Path) -> bool:
    """Whether the base accepts exactly this policy, though it widens."""
    listed = old.with_name(f"{old.name}.accepted")
    if not listed.is_file():
        return False
    command = [sys.executable, "-P", "-m", "pdp", "policy", "check", str(new), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    digest = json.loads(done.stdout).get("digest") if done.returncode == 0 else None
    return bool(digest) and digest in listed.read_text(encoding="utf-8").split()


if __name__ == "__main__":
    sys.exit(main())
