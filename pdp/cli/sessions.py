"""`pdp sessions`: the removal of labels. Exit: 0 asked, 1 refused or fault, 2 usage."""

from __future__ import annotations

import click

from pdp.cli.commands import DEVTOOLS, Commands
from pdp.cli.connection import Connection, connected
from pdp.cli.render import requests


@click.group(
    cls=Commands,
    lazy={
        "exposure": (
            "devtools.sessions.cli:exposure",
            "Replay every session of FILE through facts and the shipped baseline.",
            DEVTOOLS,
        ),
    },
)
def sessions() -> None:
    """Whole sessions of agents, and what they have read."""


@sessions.command()
@click.option("--subject", nargs=2, required=True, metavar="ISSUER ID", help="For whom the agent acts.")
@click.option("--agent", required=True, help="The agent.")
@click.option("--label", "labels", multiple=True, required=True, help="A label to remove; repeat for more.")
@click.option("--reason", required=True, help="Why, for those who vote.")
@connected
def declassify(
    *, connection: Connection, subject: tuple[str, str], agent: str, labels: tuple[str, ...], reason: str
) -> None:
    """Ask the configured people to remove labels of what an agent has read for a subject.

    For operators. They see which call put each label there, and vote on it like on any other request; the last seat
    that is filled removes what was shown, and nothing that was put there since.

    Exit codes: 0 asked, 1 refused or fault, 2 usage.
    """
    with connection.client() as client:
        asked = client.request_declassification(subject, agent, labels, reason)
    click.echo(f"{asked.approval_id} is open; `pdp approvals show` shows it to those who vote.")
    click.echo(requests.recorded(asked.record))
