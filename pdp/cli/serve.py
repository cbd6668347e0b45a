"""`pdp serve`."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import click

from pdp import bootstrap, settings
from pdp.telemetry import logs


@click.command()
@click.option("--config", "path", required=True, type=click.Path(dir_okay=False, path_type=Path), help="YAML.")
@click.option("--ready-file", type=click.Path(dir_okay=False, path_type=Path), help="Touched when serving.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.option("--log-format", type=click.Choice(list(logs.FORMATTERS)), default="text", help="json: objects.")
def serve(path: Path, ready_file: Path | None, log_level: str, log_format: str) -> None:
    """Run the decision point until SIGTERM."""
    logging.basicConfig(level=log_level.upper(), handlers=[logs.handler(log_format)])
    logging.getLogger("httpx").setLevel(logging.WARNING)
    found = settings.load(path, os.environ)
    asyncio.run(bootstrap.run(found, ready=ready_file))
