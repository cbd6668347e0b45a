"""`pdp switch`: stop something at once, or release it. Exit: 0 done, 2 usage, 1 fault."""

from __future__ import annotations

import re
import uuid

import click
from google.protobuf.timestamp_pb2 import Timestamp

from pdp.cli.admin_connection import AdminConnection, reaching
from pdp.v1 import admin_pb2

SCOPES = {
    "everything": admin_pb2.SWITCH_SCOPE_EVERYTHING,
    "tenant": admin_pb2.SWITCH_SCOPE_TENANT,
    "server": admin_pb2.SWITCH_SCOPE_SERVER,
    "tool": admin_pb2.SWITCH_SCOPE_TOOL,
    "agent": admin_pb2.SWITCH_SCOPE_AGENT,
    "subject": admin_pb2.SWITCH_SCOPE_SUBJECT,
}
_NAMED = ("server", "tool", "agent", "subject")
_LISTED = ("server", "tool", "tenant")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400}


@click.command()
@click.argument("state", type=click.Choice(["off", "on"]))
@click.argument("scope", type=click.Choice(list(SCOPES)))
@click.argument("name", required=False, default="")
@click.option("--server", default="", help="The server of a tool (scope tool).")
@click.option("--for", "duration", default="", metavar="TIME", help="It releases itself after 30m, 8h, 2d.")
@click.option(
    "--unlisted", is_flag=True, help="Set it although no signed set has that name: for what was just removed."
)
@click.option("--reason", default="", help="For the record.")
@reaching
def switch(
    *,
    state: str,
    scope: str,
    name: str,
    server: str,
    duration: str,
    unlisted: bool,
    reason: str,
    reach: AdminConnection,
) -> None:
    """Switch something off, or on again: every answer within a second obeys.

    \b
    pdp switch off server git ...              everything of one MCP server
    pdp switch off tool git_reset --server git ...
    pdp switch off agent coding-agent ...      pdp switch off subject alice ...
    pdp switch off tenant ...                  everything of the operator's tenant
    """
    if scope in _NAMED and not name:
        raise click.UsageError(f"NAME: which {scope}?")
    if (scope == "tool") != bool(server):
        raise click.UsageError("--server names the server of a tool; it goes with the scope tool.")
    wanted = admin_pb2.Switch(
        scope=SCOPES[scope],
        server=name if scope == "server" else server,
        value="" if scope == "server" else name,
        engaged=state == "off",
        reason=reason,
        until=_until(duration, state, reach),
    )
    request = admin_pb2.SetSwitchRequest(request_id=str(uuid.uuid4()), switch=wanted, unlisted=unlisted)
    answer = reach.call("SetSwitch", request)
    done = "off" if answer.switch.engaged else "on"
    until = f" until {answer.switch.until.ToJsonString()}" if answer.switch.HasField("until") else ""
    click.echo(f"{scope} {name} is {done}{until} (record {answer.record.index})".replace("  ", " "))
    if answer.unchecked and scope in _LISTED:
        click.echo(f"No signed set that can be read has that {scope}: nothing says that it exists.", err=True)
    elif answer.unchecked:
        click.echo(f"Nobody has a list of {scope}s: mind the spelling.", err=True)


def _until(duration: str, state: str, reach: AdminConnection) -> Timestamp | None:
    """By the server's clock, for that is the one that ends it."""
    if not duration:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", duration)
    if found is None or state == "on":
        raise click.UsageError("--for goes with `off`: a number with m, h or d, such as 30m.")
    now = reach.call("GetStatus", admin_pb2.GetStatusRequest()).time.seconds
    return Timestamp(seconds=now + int(found[1]) * _SECONDS[found[2]])
