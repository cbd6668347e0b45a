"""Options that say what the process of an MCP server may reach, and what is said of it at start."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pdp.confinement import Confinement

_PATH = click.Path(exists=True, path_type=Path)


def confinement_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, as its argument `confinement`; None is `--unconfined`."""

    @functools.wraps(command)
    def confined(
        *,
        allow_read: tuple[Path, ...],
        allow_write: tuple[Path, ...],
        allow_network: bool,
        unconfined: bool,
        **given: Any,
    ) -> None:
        if unconfined and (allow_read or allow_write or allow_network):
            raise click.UsageError("--unconfined allows everything: leave out the other options that allow something")
        read, write = ([str(path.absolute()) for path in paths] for paths in (allow_read, allow_write))
        rules = None if unconfined else Confinement(tuple(read), tuple(write), allow_network)
        command(confinement=rules, **given)

    for option in (
        click.option("--unconfined", is_flag=True, help="COMMAND runs with all your rights."),
        click.option("--allow-network", is_flag=True, help="COMMAND may use the network."),
        click.option("--allow-write", multiple=True, type=_PATH, help="COMMAND may read and write below; repeat."),
        click.option("--allow-read", multiple=True, type=_PATH, help="COMMAND may read below, too; repeat."),
    ):
        confined = option(confined)
    return confined


def say_confinement(rules: Confinement | None, server: str) -> None:
    """Say on standard error what a server's process may reach, and what of that this machine cannot hold it to."""
    if rules is None:
        click.echo(f"{server}: its process is not confined: it has your rights.", err=True)
        return
    network = "it may use the network" if rules.network else "no network"
    written = f"it may write {', '.join(rules.write)}" if rules.write else "it may write nothing"
    click.echo(f"{server}: its process is confined: an empty home, {network}, {written}.", err=True)
    for text in rules.lacking():
        click.echo(f"{server}: NOT CONFINED: {text}.", err=True)
