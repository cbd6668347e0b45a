"""`pdp serve`."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import click

from pdp import bootstrap, settings


@click.command()
@click.option("--config", "path", required=True, type=click.Path(dir_okay=False, path_type=Path), help="YAML.")
@click.option("--ready-file", type=click.Path(dir_okay=False, path_type=Path), help="Touched when serving.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def serve(path: Path, ready_file: Path | None, log_level: str) -> None:
    """Run the decision point until SIGTERM."""
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    found = settings.load(path, os.environ)
    asyncio.run(bootstrap.run(found, ready=ready_file))
