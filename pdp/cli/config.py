"""`pdp config`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pdp import settings
from pdp.core.errors import ConfigurationFault

DENIED = 10


@click.group()
def config() -> None:
    """Look at a configuration."""


@config.command("check")
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
def check(path: Path) -> None:
    """Say everything that is wrong with FILE (and PDP_ variables), or that it is right."""
    try:
        found = settings.load(path, os.environ)
    except ConfigurationFault as fault:
        click.echo(fault.message, err=True)
        raise SystemExit(DENIED) from None
    click.echo(f"ok: {found.mode}, {len(found.identity.callers)} callers, {len(found.identity.issuers)} issuers")
