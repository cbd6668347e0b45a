"""`pdp demo`: the product on real input. Exit: 0 every answer was the expected one, 1 not."""

from __future__ import annotations

import asyncio
import io
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from devtools.demo.play import play
from devtools.demo.scenes import ACT, SceneRow
from devtools.demo.stage import DemoStage, RunningServer, prepare

FOLDER = Path("var/demo")
GIT_SERVER = Path(".venv-demo/bin/mcp-server-git")
_COLOURS = {"allow": "green", "deny": "red", "pending": "yellow", "list": "cyan", "approve": "cyan"}
_WIDTH = 150  # of a page that is no terminal
_PICTURE_WIDTH = 100
# the rows of README's picture
TELLING = (
    "read three commits",
    "more commits than Acme allows",
    "a file from outside of the repository",
    "throw staged work away",
    "the tool's description was changed",
    "... which it sends where the page says",
    "... while the task itself goes on",
)
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # of another host: a page loads nothing


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the table, in terminals of at least so many cells."""

    name: str
    terminal: int = 0
    whole: bool = False  # never folded


_COLUMNS = (
    _Column(""),
    _Column("situation"),
    _Column("for", whole=True),
    _Column("call", terminal=110),
    _Column("effect", whole=True),
    _Column("why", whole=True),
    _Column("rule", terminal=140),
    _Column("record", terminal=140),
    _Column("ran", whole=True),
)


@click.command()
@click.option("--serve", "leave", is_flag=True, help="Leave the server running, with requests to send to it.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=FOLDER, show_default=True)
@click.option("--git-server", type=click.Path(dir_okay=False, path_type=Path), default=GIT_SERVER, show_default=True)
@click.option(
    "--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw README's rows of this run as SVG."
)
def demo(leave: bool, folder: Path, git_server: Path, picture: Path | None) -> None:
    """Start the PDP and the public mcp-server-git and mcp-server-fetch, and ask what a gateway would ask."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal leaves no server behind
        signal.signal(number, _end)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    stage = asyncio.run(prepare(folder.absolute(), git_server.absolute(), console=leave))
    console.print(
        f"pinned and signed {len(stage.tools)} tools of the public mcp-server-git, running on a scratch repository, "
        "and the one of mcp-server-fetch"
    )
    server = RunningServer(stage.world)
    try:
        if leave:
            _leave(console, stage, server)
        else:
            rows = asyncio.run(_play(console, stage, server))
            if picture is not None:
                picture.write_text(drawn([row for row in rows if row.what in TELLING]), encoding="utf-8")
            if not all(row.ok for row in rows):
                sys.exit(1)
    finally:
        server.stop()


async def _play(console: Console, stage: DemoStage, server: RunningServer) -> list[SceneRow]:
    await server.wait_ready()
    rows = [row async for row in play(stage)]
    console.print(table(rows, console.width))
    for row in filter(lambda row: row.note, rows):
        console.print(f"`pdp explain` on {row.call}, {row.effect.upper()}:", highlight=False, markup=False)
        console.print(row.note, highlight=False, markup=False, soft_wrap=True)
    answers = [row for row in rows if row.effect != ACT]
    wrong = sum(not row.ok for row in answers)
    console.print(
        f"{len(answers) - wrong} of {len(answers)} answers were the expected ones. Each has a durable record; "
        f"the log, keys and configuration lie in {_shown(stage.world.folder)}."
    )
    return rows


def drawn(rows: Sequence[SceneRow]) -> str:
    """A terminal with the rows, as SVG that loads nothing from elsewhere."""
    screen = Console(record=True, width=_PICTURE_WIDTH, file=io.StringIO(), force_terminal=True)
    screen.print(table(rows, _PICTURE_WIDTH))
    return _FONTS.sub("", screen.export_svg(title="make demo", unique_id="demo"))


def table(rows: Sequence[SceneRow], width: int) -> Table:
    """The table of requests and answers, with as many columns as fit without breaking a word."""
    made = Table(title="What the gateway asked, and what it was told", title_justify="left", expand=False)
    columns = [column for column in _COLUMNS if width >= column.terminal]
    for column in columns:
        made.add_column(column.name, overflow="fold", no_wrap=column.whole)
    for row in rows:
        told = {
            "situation": row.what,
            "for": row.who,
            "call": row.call,
            "why": row.why,
            "rule": row.rule,
            "record": row.record,
            "ran": row.ran,
        }
        cells = {name: escape(text) for name, text in told.items()}
        cells["effect"] = f"[{_COLOURS.get(row.effect, 'white')}]{row.effect.upper()}[/]"
        cells[""] = "[green]ok[/]" if row.ok else "[bold red]WRONG[/]"
        made.add_row(*(cells[column.name] for column in columns))
    return made


def _leave(console: Console, stage: DemoStage, server: RunningServer) -> None:
    asyncio.run(server.wait_ready())
    console.print("serving; the tokens hold for an hour. In another terminal:")
    for tool in ("git_status", "git_reset"):
        console.print(f"  .venv/bin/pdp decide {_shown(stage.decide_file(tool))}", highlight=False)
    console.print("and to answer for somebody else, such as Carol, who may approve:")
    carol = f"{_shown(stage.profiles)}:carol"
    console.print(f"  export PDPCTL_PROFILE={carol}", highlight=False, soft_wrap=True)
    console.print("  .venv/bin/pdp approvals list", highlight=False)
    console.print(f"or in a browser, signing in as whom you like: {stage.console}", highlight=False)
    console.print("Ctrl-C ends it")
    try:
        server.wait()
    except KeyboardInterrupt:
        console.print("stopping")


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _shown(path: Path) -> str:
    """As short as it can be from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
