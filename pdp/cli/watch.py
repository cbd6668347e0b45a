"""`pdp tools watch`: sign what servers list now. Exit: 0 seen, 10 a server was not seen (`--once`), 1 fault."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from pathlib import Path

import click

from pdp.registry.keys import read_private
from pdp.registry.watcher import Look, Watcher, load_plan

NOT_SEEN = 10


@click.command()
@click.argument("plan", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--key", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), help="PEM, 0600.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder of `registry.watchers`, writable by the watcher alone.",
)
@click.option("--once", is_flag=True, help="Look once and stop.")
def watch(plan: Path, key: Path, out: Path, once: bool) -> None:
    """Look at the servers of PLAN again and again, and sign what they list.

    Tools whose manifest says `definition_check: watched` may be called while the last sighting is fresh
    (`registry.watch_max_age_seconds`) and shows the pinned definition.

    \b
    PLAN is YAML:
      tenant: acme
      interval_seconds: 60
      servers:
        - {id: git, command: [mcp-server-git, --repository, /srv/repo], env: [PATH]}
        - {id: crm, url: https://mcp.acme.example/crm}
    """
    watcher = Watcher(load_plan(plan), out, read_private(key), time.time_ns)
    if once:
        looks = asyncio.run(watcher.round())
        _say(looks)
        sys.exit(NOT_SEEN if any(look.fault for look in looks) else 0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(watcher.run(_say, asyncio.sleep))


def _say(looks: tuple[Look, ...]) -> None:
    for look in looks:
        if look.fault is None:
            click.echo(f"{look.server}: {look.tools} tools seen")
        else:
            click.echo(f"{look.server}: {look.fault.code}: {look.fault.message}", err=True)
