"""`pdp audit archive` and `accept-rollback`: what operators do to a store."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from pdp.cli.audit import WRONG, bar
from pdp.cli.commands import FOLDER, Command, Duration
from pdp.runtime.archive import archive as archive_records
from pdp.runtime.config import settings
from pdp.runtime.rollback import accept_rollback as accept


@click.command("archive", cls=Command)
@click.option("--before", required=True, type=Duration("d", "90d"), help="Records older than so many days, like 90d.")
@click.option("--to", "folder", type=FOLDER, help="The archive; by default `audit.archive`.")
def archive(*, config: Path, before: int, folder: Path | None) -> None:
    """Move the oldest records of a store into an archive; receipts and proofs hold as before.

    Whole bundles of 256 records are written, synced and read back; then a record says so, and only then their bytes
    leave the store. Values of people stay where they are erased. On SQLite the server must be stopped; it archives by
    itself where `audit.archive_after_days` says so. May be repeated, also after it was ended at any point.

    Exit codes: 0 archived, or there is nothing to archive, 2 usage, 1 fault.
    """
    loaded = settings.load(config, os.environ)
    place = folder or loaded.audit.archive
    if place is None:
        raise click.UsageError("--to: which folder? The configuration has no audit.archive.")
    try:
        with bar(0) as progress:
            done = asyncio.run(archive_records(loaded, place, before, progress))
    except OSError as error:
        click.echo(
            f"the archive cannot be written ({error.strerror}); records that it lacks are in the store", err=True
        )
        sys.exit(1)
    if done.until == done.first and not done.emptied:
        click.echo(f"nothing to archive: records below {done.until} are archived, none that follows is old enough")
        return
    click.echo(f"archived: records {done.first} to {done.until - 1}; {done.emptied} left the store")
    if loaded.audit.archive != place:
        click.echo(f"set audit.archive to {place}, so that the server still reads them", err=True)


@click.command("accept-rollback", cls=Command)
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
