"""`pdp backup` and `pdp restore`: a store's encrypted copy, and a store from one."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from pdp.cli.commands import IN_FILE, Command
from pdp.runtime import copies
from pdp.runtime.config import settings


@click.command(cls=Command)
@click.option("--to", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")
@click.option("--recipient", required=True, type=IN_FILE, help="Public key (X25519, PEM) of who may read it.")
def backup(*, config: Path, to: Path, recipient: Path) -> None:
    """Write an encrypted copy of a store, and read it back; servers go on running.

    Only the private key of --recipient opens it, which this machine does not need. No key is in it: keep
    service.index_key apart, without which it cannot be restored.

    Exit codes: 0 written and verified, 2 usage, 1 fault.
    """
    try:
        made = copies.backup(settings.load(config, os.environ), to, recipient)
    except OSError as error:
        click.echo(f"--to: cannot be written ({error.strerror or 'there is a file of that name'})", err=True)
        sys.exit(1)
    click.echo(f"copied and verified: {made.records} records of {made.origin}, {made.rows} rows")


@click.command(cls=Command)
@click.argument("copy", type=IN_FILE)
@click.option("--key", required=True, type=IN_FILE, help="The private key (X25519, PEM).")
@click.option("--erasures", required=True, type=IN_FILE, help="Records of erasures, as JSON lines; may be empty.")
@click.option("--reason", required=True, help="Why; kept for the record.")
@click.option("--accept-loss", default="", help="Why records that the copy lacks may be lost, where there are any.")
def restore(*, copy: Path, config: Path, key: Path, erasures: Path, reason: str, accept_loss: str) -> None:
    """Make a store from COPY, with everything switched off.

    Requests, grants, consents and mandates of the copy no longer count, sessions end, budgets are spent until their
    next window, agents are unobserved until a context reset, and people in --erasures are erased again. A copy that
    lacks records which were signed, or of which nothing tells whether it does, is refused without --accept-loss. All
    servers of the store must be stopped.

    Exit codes: 0 restored, 2 usage, 1 fault or refused.
    """
    if not reason.strip():
        raise click.UsageError("--reason: is empty; say why, for the record.")
    loaded = settings.load(config, os.environ)
    try:
        done = asyncio.run(copies.restore(loaded, copy, key, erasures=erasures, reason=reason, loss=accept_loss))
    except OSError as error:
        click.echo(f"a file cannot be read or written ({error.strerror})", err=True)
        sys.exit(1)
    click.echo(f"restored: {done.records} records; everything is switched off")
    v = done.voided
    click.echo(
        f"no longer count: {v.approvals} requests, {v.grants} grants, {v.consents} consents, {v.mandates} mandates"
    )
    click.echo(f"erased again: {done.erased}")
    if done.accepted is not None and done.accepted.folder is not None:
        click.echo(f"the other log is in {done.accepted.folder.name} of audit.folder")
