"""How many commands of an agent's shell go through unasked, for `docs/hooks.md`.

    python tests/corpora/shell/figures.py

`recorded.json` holds {half: [{agent, command}]}.

A recorded command was made in a repository that is not here. It is judged in an empty one with all that it names
within: what has a dot in its name or is written in capitals as a file, all else as a folder. `/work/repo` in a text
is where the agent worked. No command is denied: what is not free is asked about.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pdp.content.guards.run import codes
from pdp.local import provenance
from pdp.local.provenance import Process
from pdp.local.reading import only_reads

HERE = Path(__file__).parent
FIGURES, RECORDED = HERE / "figures.json", HERE / "recorded.json"
PATH = "/usr/local/bin:/usr/bin:/bin"
WORKED_IN = "/work/repo"
_NAMED = re.compile(r"[\w./@%+:,=-]+")


@contextmanager
def agent(**environment: str) -> Iterator[tuple[Process, ...]]:
    """The lineage of a hook whose agent has this environment."""
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PATH": PATH, **environment},
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()  # else it has the environment of what started it
        started = provenance.process(running.pid)
        assert started is not None
        yield (started, started)
        running.communicate(b"\n")


def repository(around: Path) -> Path:
    """One with links that lead out of it, beside a home and the folder of decisions."""
    made = around / "work"
    for folder in (made / ".git", made / "sub", around / "home", around / "state"):
        folder.mkdir(parents=True)
    for file in (made / "a.txt", made / "sub/b.txt", made / ".git/config", around / "secret"):
        file.write_text("text\n")
    (made / "out").symlink_to(around / "secret")
    (made / "away").symlink_to(around)
    os.mkfifo(made / "pipe")
    return made


def hostile() -> list[str]:
    """Commands that have to wait."""
    groups = json.loads((HERE / "hostile.json").read_text(encoding="utf-8"))
    return [command for group in groups.values() for command in group]


def free(commands: Sequence[str], made: Path, lineage: tuple[Process, ...]) -> list[str]:
    """Those of the commands that go through, made in a repository: they read alone, and no file of keys."""
    apart, homes = (made.parent / "state",), (made.parent / "home",)
    read = {each: only_reads(each, str(made), lineage, apart, homes) for each in commands}
    return [
        each
        for each, files in read.items()
        if files is not None and not any("sensitive" in codes("path", file) for file in files)
    ]


def goes_through(command: str, lineage: tuple[Process, ...]) -> bool:
    """Whether a recorded command does, in a repository where all is that it names within."""
    with tempfile.TemporaryDirectory() as name:
        made = Path(name).resolve() / "work"
        (made / ".git").mkdir(parents=True)
        command = command.replace(WORKED_IN, str(made))
        for word in _NAMED.findall(command):
            named = Path(os.path.normpath(made / word))
            if not word.startswith("-") and named.is_relative_to(made) and len(word) < 200:
                _lay_out(named, folder=word.endswith("/") or not ("." in named.name or named.name.isupper()))
        return bool(free([command], made, lineage))


def _lay_out(named: Path, *, folder: bool) -> None:
    try:
        named.parent.mkdir(parents=True, exist_ok=True)
        if folder:
            named.mkdir(exist_ok=True)
        elif not named.exists():
            named.write_text("text\n")
    except (FileExistsError, NotADirectoryError):
        return  # a word that is a part of another one


def figures() -> dict[str, dict[str, Any]]:
    """How many of each source, and how many go through; of recorded ones by agent."""
    with agent() as lineage, tempfile.TemporaryDirectory() as around:
        ours = hostile()
        rows: dict[str, dict[str, Any]] = {
            "hostile": _row(ours, len(free(ours, repository(Path(around).resolve()), lineage)))
        }
        for half, calls in json.loads(RECORDED.read_text(encoding="utf-8")).items():
            through = [each["agent"] for each in calls if goes_through(each["command"], lineage)]
            of = Counter(each["agent"] for each in calls)
            rows[half] = _row(calls, len(through)) | {
                "agents": {name: {"commands": of[name], "free": through.count(name)} for name in sorted(of)},
            }
    return rows


def _row(commands: Sequence[object], through: int) -> dict[str, int]:
    return {"commands": len(commands), "free": through, "asked": len(commands) - through, "denied": 0}


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of the page."""
    lines = ["| commands | | free | asked | denied |", "|---|---:|---:|---:|---:|"]
    for name in ("table", "held_out", "hostile"):
        row = rows[name]
        shares = " | ".join(f"{row[each] / row['commands']:.0%}" for each in ("free", "asked", "denied"))
        lines.append(f"| {_NAMES[name]} | {row['commands']} | {shares} |")
    return "\n".join(lines)


_NAMES = {"table": "recorded, for the table", "held_out": "recorded, held out", "hostile": "hostile"}


def main() -> None:
    """Write `figures.json`, print the table."""
    rows = figures()
    FIGURES.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    sys.stdout.write(table(rows) + "\n")


if __name__ == "__main__":
    main()
