"""`pdp audit accept-rollback`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from pdp.cli.audit import WRONG
from pdp.cli.commands import IN_FILE
from pdp.runtime.config import settings
from pdp.runtime.rollback import accept_rollback as accept


@click.command("accept-rollback")
@click.option("--config", required=True, type=IN_FILE, help="The server's configuration, with a new audit.key.")
@click.option("--reason", required=True, help="Why; kept for the record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def accept_rollback(*, config: Path, reason: str, yes: bool) -> None:
    """Use a store that lacks records of which a checkpoint was signed.

    Answers that left with those records are then in no log. The server must be stopped, and audit.key must be a new
    key: the old one signed the records that are gone. Records who was accepted over what, and moves the files of the
    other log aside, within audit.folder; they hold the lost records.

    Exit codes: 0 accepted, 10 there is nothing to accept, 2 usage, 1 fault.
    """
    loaded = settings.load(config, os.environ)
    if not yes:
        click.confirm("Records that were signed are lost by this. Go on?", abort=True, err=True)
    try:
        accepted = asyncio.run(accept(loaded, reason))
    except OSError as error:
        click.echo(f"audit.folder: cannot be changed ({error.strerror})", err=True)
        sys.exit(1)
    if accepted is None:
        click.echo("nothing to accept: the store has every record that was signed", err=True)
        sys.exit(WRONG)
    click.echo(f"accepted: the store goes on after {accepted.records} records; record {accepted.index} says so")
    if accepted.folder is not None:
        click.echo(f"the other log is in {accepted.folder.name} of audit.folder")
