"""`pdp consent`: what you let agents use. Exit: 0 done, 2 usage, 1 refused or fault."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import click

from pdp.cli.commands import Commands, Duration
from pdp.cli.connection import Connection, connected, id_argument, numbers, to_json
from pdp.cli.render import requests, standing
from pdp.client import Consent
from pdp.core.text.safety import visible
from pdp.v1 import consent_pb2

_PAGE = 100
_STATES = list(numbers(consent_pb2.ConsentState))


@click.group(cls=Commands)
def consent() -> None:
    """What you let agents use in your name: yours alone to give, and to take back at once.

    \b
    pdp consent list         what is asked of you, and what you have given
    pdp consent grant ID     shows what is asked, then asks you
    pdp consent grant --agent A --server S --scope read --purpose support
    pdp consent deny ID      says no to what is asked
    pdp consent revoke ID    takes it back, at once
    """


@consent.command("list")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(_STATES), help="Only in this state; repeat for more."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@connected
def list_(*, connection: Connection, states: tuple[str, ...], as_json: bool) -> None:
    """List your consents, and what asks for one."""
    whole = consent_pb2.ListConsentsResponse()
    with connection.client() as client:
        while True:
            page = client.list_consents(states=states, page_size=_PAGE, page_token=whole.next_page_token)
            whole.consents.extend(page.consents)
            whole.next_page_token = page.next_page_token
            if not page.next_page_token:
                break
    if as_json:
        click.echo(to_json(whole))
    elif not whole.consents:
        click.echo("No consents, and nothing asks for one.")
    else:
        requests.console().print(standing.consents(whole.consents))


@consent.command()
@click.argument("consent_id", metavar="[ID]", callback=id_argument, default="")
@click.option("--agent", default="", help="Without ID: the agent.")
@click.option("--server", default="", help="Without ID: the server that it may use.")
@click.option("--tool", default="", help="Without ID: only this tool of it.")
@click.option("--scope", default="", help="Without ID: what may be used, in policy's words.")
@click.option("--purpose", default="", help="Without ID: what for, in policy's words.")
@click.option(
    "--for",
    "duration",
    type=Duration("hd", "30d"),
    help="How long: a number with h or d; as long as is allowed without.",
)
@click.option("--yes", is_flag=True, help="For scripts: do not show and ask; with ID needs --presented.")
@click.option("--presented", default="", help="With --yes: `presented` of what was judged.")
@connected
def grant(
    *,
    connection: Connection,
    consent_id: str,
    agent: str,
    server: str,
    tool: str,
    scope: str,
    purpose: str,
    duration: int | None,
    yes: bool,
    presented: str,
) -> None:
    """Agree to what is asked (ID), or of your own accord."""
    terms = Consent(agent=agent, server=server, scope=scope, purpose=purpose, tool=tool)
    own = bool(agent or server or tool or scope or purpose)
    if own == bool(consent_id):
        raise click.UsageError("give ID, or --agent, --server, --scope and --purpose")
    if consent_id and yes != bool(presented):
        raise click.UsageError("--yes and --presented go together")
    expires = datetime.now(UTC) + timedelta(seconds=duration) if duration is not None else None
    with connection.client() as client:
        if consent_id and not yes:
            consents = client.list_consents(consent_id=consent_id).consents
            if not consents:
                click.echo("consent.unknown: There is no such consent.", err=True)
                sys.exit(1)
            requests.console().print(standing.consent(consents[0]))
            click.confirm("\nDo you agree?", abort=True)
            presented = consents[0].presented
        response = client.grant_consent(consent_id or terms, presented=presented, expires=expires)
    consent_id = visible(response.consent.consent_id)
    click.echo(f"agreed until {requests.when(response.consent.expires_at)}")
    click.echo(f"`pdp consent revoke {consent_id}` ends it at once")
    click.echo(requests.recorded(response.record))


@consent.command()
@click.argument("consent_id", metavar="ID", callback=id_argument)
@connected
def deny(*, connection: Connection, consent_id: str) -> None:
    """Deny what is asked."""
    _end(connection, consent_id, "denied")


consent.add_command(deny, "refuse")  # its first name


@consent.command()
@click.argument("consent_id", metavar="ID", callback=id_argument)
@connected
def revoke(*, connection: Connection, consent_id: str) -> None:
    """Take a consent back, at once."""
    _end(connection, consent_id, "revoked")


def _end(connection: Connection, consent_id: str, word: str) -> None:
    with connection.client() as client:
        response = client.revoke_consent(consent_id)
    click.echo(f"{word} ({requests.recorded(response.record)})")
