"""`pdp tools review` and `prune`. Exit: 0 done, 1 fault or not wanted, 2 usage."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pdp.registry.diff import newest_version, orphans
from pdp.registry.scaffold import scaffold

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


def confirm(question: str, *, yes: bool) -> None:
    """Ask whoever sits at a terminal and has not said `--yes`; a script goes on. "No" ends the command, exit 1."""
    if not yes and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)


@click.command()
@click.argument("folder", type=_FOLDER)
@click.option("--server", required=True, help="Server id, as in `pdp tools pin`.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A new file; the screen without it.")
def review(folder: Path, server: str, out: Path | None) -> None:
    """Write a review to fill in, from what is pinned of a server in FOLDER.

    Tools that were reviewed have their values; the others stand there with the worst ones as comments, and count as
    not reviewed until a `#` is taken away. Pin again with `--review` and the file.
    """
    text = scaffold(newest_version(folder), server)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.UsageError(f"{out.name} exists; somebody's review is never overwritten") from None
    except OSError as error:
        raise click.UsageError(f"--out: cannot be written ({error.strerror})") from None
    click.echo(f"{out}  fill it in, then: pdp tools pin ... --review {out}", err=True)


@click.command()
@click.argument("folder", type=_FOLDER)
@click.option("--yes", is_flag=True, help="Do not ask.")
def prune(folder: Path, yes: bool) -> None:
    """Remove manifests from FOLDER that no set needs: not the signed one, the draft, or the one signed before.

    They have no effect; only the folder gets smaller.
    """
    found = orphans(folder)
    if not found:
        click.echo("Every manifest is needed.")
        return
    for path in found:
        click.echo(path.name)
    confirm(f"Remove these {len(found)} manifests?", yes=yes)
    for path in found:
        path.unlink(missing_ok=True)
    click.echo(f"{len(found)} manifests removed.")
