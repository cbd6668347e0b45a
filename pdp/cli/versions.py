"""`pdp tools diff`, `withdraw`, `quarantine`, `restore`. Exit: 0 done or no difference, 10 different, 1 fault."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from pdp.core.errors import RegistryFault
from pdp.registry.change_summary import Change
from pdp.registry.diff import Version, compare, keep_before, newest_version, signed_version, version_before
from pdp.registry.documents import State
from pdp.registry.pin import set_state

DIFFERENT = 10
_STYLES = {"danger": "bold red", "attention": "yellow", "note": ""}
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("old", type=click.Path(path_type=Path, exists=True))
@click.argument("new", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def diff(old: Path, new: Path | None, as_json: bool) -> None:
    """Say in words what changed between two versions, the worst first. Signatures are not checked.

    OLD and NEW are tenants' folders (what is signed in OLD; in NEW the draft, if it is newer) or signed sets.
    With one folder: its draft against what is signed in it; once that is signed, against what was signed before.
    """
    if new is None:
        if old.is_file():
            raise click.UsageError("one file has nothing to be compared with; give a folder, or two")
        before, after = version_before(old), newest_version(old)
    else:
        before = signed_version(old) if old.is_dir() else _file(old)
        after = newest_version(new) if new.is_dir() else _file(new)
    changes = compare(before, after)
    if as_json:
        found = [{"severity": c.severity, "where": c.where, "what": c.what} for c in changes]
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show_changes(changes)
    sys.exit(DIFFERENT if changes else 0)


def _file(path: Path) -> Version:
    return signed_version(path.parent, path.name)


def show_changes(changes: tuple[Change, ...]) -> None:
    """One line for each."""
    console = Console(soft_wrap=True, highlight=False)
    if not changes:
        console.print("No difference.")
    for change in changes:
        style = _STYLES[change.severity]
        text = f"{change.severity:<10} {escape(change.where)}: {escape(change.what)}"
        console.print(text, style=style or None)


def _change(folder: Path, server: str, tool: str, state: State) -> None:
    draft = set_state(folder, server, tool, state)
    if draft is None:
        click.echo(f"{server}/{tool} is {state} already.")
    else:
        click.echo(
            f"{server}/{tool} is {state} in the draft with serial {draft.serial}. "
            "Next: author and reviewer run `pdp tools sign`."
        )


@click.command()
@click.argument("folder", type=_FOLDER)
@click.argument("server")
@click.argument("tool")
def withdraw(folder: Path, server: str, tool: str) -> None:
    """Take TOOL of SERVER out of use for good, in the draft of FOLDER. To stop it at once: `pdp switch off tool`."""
    _change(folder, server, tool, "withdrawn")


@click.command()
@click.argument("folder", type=_FOLDER)
@click.argument("server")
@click.argument("tool")
def quarantine(folder: Path, server: str, tool: str) -> None:
    """Keep TOOL of SERVER registered and denied, in the draft of FOLDER, until somebody has looked at it."""
    _change(folder, server, tool, "quarantined")


@click.command()
@click.argument("folder", type=_FOLDER)
@click.argument("server")
@click.argument("tool")
def restore(folder: Path, server: str, tool: str) -> None:
    """Let TOOL of SERVER be used again, in the draft of FOLDER."""
    _change(folder, server, tool, "active")


def before_signing(folder: Path, *, renew: bool, told: bool) -> None:
    """Show what is about to be signed against what was signed before, and keep that for whoever signs next."""
    with contextlib.suppress(RegistryFault):  # signing says it better
        newest = newest_version(folder)
        if told:
            show_changes(compare(version_before(folder), newest))
        if renew or newest.draft != signed_version(folder).draft:
            keep_before(folder)
