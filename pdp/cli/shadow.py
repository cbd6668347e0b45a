"""`pdp tools shadow`: what is asked for and not registered. Exit: 0 nothing, 10 something, 2 usage, 1 fault."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

import click

from pdp.authoring.shadow import KINDS, MARK, MAX_CALLERS, Shadow, shadows
from pdp.cli.render.tables import page, table
from pdp.config import settings
from pdp.core.check import NS
from pdp.secrets.reference import secret
from pdp.store.options import StoreOptions
from pdp.store.reading import Having, records_with

FOUND = 10
_UNITS = {"h": 3600, "d": 86_400}


@click.command()
@click.argument("store", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Instead of STORE: the server's configuration, which names its store; for PostgreSQL.",
)
@click.option("--tenant", default=None, help="Only this tenant's requests.")
@click.option("--since", default=None, help="Only the last hours or days, like 12h or 7d.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="Lines of the table.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def shadow(
    store: Path | None, config: Path | None, tenant: str | None, since: str | None, limit: int, as_json: bool
) -> None:
    """List unknown servers and tools that were asked for, from the records in STORE (the folder of `store.path`).

    Reads only, while the service runs. Each of these requests was denied.
    """
    if (store is None) == (config is None):
        raise click.UsageError("Give either STORE or --config.")
    wanted = Having(MARK, KINDS, tenant, _since(since))
    options, password = _configured(config) if config is not None else (StoreOptions(path=store or Path()), b"")
    found = shadows(records_with(options, wanted, password=password))
    if as_json:
        value = {"shadows": [s.fact() for s in found.found], "beyond": found.beyond}
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        _show(found.found, limit)
        if found.beyond:
            click.echo(f"{found.beyond} requests for further names are not counted here.")
    sys.exit(FOUND if found.found else 0)


def _configured(path: Path) -> tuple[StoreOptions, bytes]:
    """The store of a configuration, and its password."""
    found = settings.load(path, os.environ)
    reference = found.store.password
    given = secret(reference, found.vault, where="store.password", at_least=1) if reference else b""
    return found.store, given


def _since(text: str | None) -> int:
    if text is None:
        return 0
    match = re.fullmatch(r"([1-9][0-9]{0,3})([hd])", text)
    if match is None:
        raise click.UsageError("--since is a number of hours or days, like 12h or 7d")
    return time.time_ns() - int(match[1]) * _UNITS[match[2]] * NS


def _show(found: tuple[Shadow, ...], limit: int) -> None:
    if not found:
        click.echo("Nothing unknown was asked for.")
        return
    rows = []
    for entry in found[:limit]:
        callers = ", ".join(sorted(entry.callers)) + (", …" if len(entry.callers) == MAX_CALLERS else "")
        asked = (entry.tenant, entry.server, entry.tool, entry.unknown, str(entry.count), callers)
        rows.append((*asked, entry.first[:19], entry.last[:19]))
    console = page()
    names = ("tenant", "server", "tool", "unknown", "asked", "callers", "first", "last")
    console.print(table(names, rows, console.width))
    if len(found) > limit:
        console.print(f"And {len(found) - limit} more; --limit shows them.")
