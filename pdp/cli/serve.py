"""`pdp serve`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pdp.cli.commands import FILE, Command
from pdp.host import event_loop
from pdp.runtime import bootstrap
from pdp.runtime.config import settings
from pdp.runtime.telemetry import logs


@click.command(cls=Command)
@click.option("--ready-file", type=FILE, help="Touched when the first call can be answered.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Of our own lines on standard error; of others' only what goes wrong.",
)
@click.option(
    "--log-format",
    type=click.Choice(list(logs.FORMATTERS)),
    default="text",
    show_default=True,
    help="json: one object per line.",
)
def serve(config: Path, ready_file: Path | None, log_level: str, log_format: str) -> None:
    """Run the decision point until SIGTERM; SIGHUP is `pdp reload`."""
    logs.configure(log_level, log_format)
    loaded = settings.load(config, os.environ)
    event_loop.run(bootstrap.run(loaded, ready=ready_file))
