"""`pdp grants`: standing approvals within bounds. Exit: 0 done, 2 usage, 1 refused or fault."""

from __future__ import annotations

import click

from pdp.cli.commands import Commands
from pdp.cli.connection import Connection, connected, id_argument, numbers, to_json
from pdp.cli.render import requests, standing
from pdp.v1 import approval_pb2

_PAGE = 100
_STATES = list(numbers(approval_pb2.GrantState))


@click.group(cls=Commands)
def grants() -> None:
    """Calls that go through without asking, for a while: see which, and end that."""


@grants.command("list")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(_STATES), help="Only in this state; repeat for more."
)
@click.option("--server", default="", help="Of one server.")
@click.option("--tool", default="", help="Of one tool.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@connected
def list_(*, connection: Connection, states: tuple[str, ...], server: str, tool: str, as_json: bool) -> None:
    """List the grants that you may see, newest first."""
    whole = approval_pb2.ListGrantsResponse()
    with connection.client() as client:
        while True:
            page = client.list_grants(
                states=states, server=server, tool=tool, page_size=_PAGE, page_token=whole.next_page_token
            )
            whole.grants.extend(page.grants)
            whole.next_page_token = page.next_page_token
            if not page.next_page_token:
                break
    if as_json:
        click.echo(to_json(whole))
    elif not whole.grants:
        click.echo("No grants.")
    else:
        requests.console().print(standing.grants(whole.grants))


@grants.command()
@click.argument("grant_id", metavar="ID", callback=id_argument)
@click.option("--reason", default="", help="Why, for the record.")
@connected
def revoke(*, connection: Connection, grant_id: str, reason: str) -> None:
    """End a grant, at once."""
    with connection.client() as client:
        response = client.revoke_grant(grant_id, reason)
    click.echo(f"revoked ({requests.recorded(response.record)})")
