"""`pdp switch`: stop something at once, or release it. Exit: 0 done, 2 usage, 1 fault."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import click
import grpc

from pdp.client.channel import OPTIONS, PlaintextRefusedError, Tls, check
from pdp.v1 import admin_pb2, admin_pb2_grpc

FAULT = 1
SECONDS = 10
SCOPES = {
    "everything": admin_pb2.SWITCH_SCOPE_EVERYTHING,
    "tenant": admin_pb2.SWITCH_SCOPE_TENANT,
    "server": admin_pb2.SWITCH_SCOPE_SERVER,
    "tool": admin_pb2.SWITCH_SCOPE_TOOL,
    "agent": admin_pb2.SWITCH_SCOPE_AGENT,
    "subject": admin_pb2.SWITCH_SCOPE_SUBJECT,
}


@click.command()
@click.argument("state", type=click.Choice(["off", "on"]))
@click.argument("scope", type=click.Choice(list(SCOPES)))
@click.argument("name", required=False, default="")
@click.option("--server", default="", help="The server of a tool (scope tool).")
@click.option("--target", required=True, help="unix:/PATH, 127.0.0.1:PORT, or HOST:PORT with --ca.")
@click.option(
    "--token-file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The operator's caller token.",
)
@click.option("--ca", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="PEM, for TLS.")
@click.option("--reason", default="", help="For the record.")
def switch(
    *, state: str, scope: str, name: str, server: str, target: str, token_file: Path, ca: Path | None, reason: str
) -> None:
    """Switch something off, or on again: every answer within a second obeys.

    \b
    pdp switch off server git ...              everything of one MCP server
    pdp switch off tool git_reset --server git ...
    pdp switch off agent coding-agent ...      pdp switch off subject alice ...
    pdp switch off tenant ...                  everything of the operator's tenant
    """
    wanted = admin_pb2.Switch(
        scope=SCOPES[scope],
        server=name if scope == "server" else server,
        value="" if scope == "server" else name,
        engaged=state == "off",
        reason=reason,
    )
    tls = Tls.from_files(ca=ca) if ca else None
    try:
        check(target, tls)
    except PlaintextRefusedError:
        raise click.UsageError(
            "--target: beyond unix:/PATH, 127.0.0.1:PORT and [::1]:PORT only TLS is spoken; give --ca"
        ) from None
    options = list(OPTIONS)
    channel = (
        grpc.secure_channel(target, tls.credentials(), options) if tls else grpc.insecure_channel(target, options)
    )
    with channel:
        request = admin_pb2.SetSwitchRequest(request_id=str(uuid.uuid4()), switch=wanted)
        metadata = (("authorization", f"Bearer {token_file.read_text().strip()}"),)
        try:
            answer = admin_pb2_grpc.AdminServiceStub(channel).SetSwitch(request, timeout=SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            details = error.details() if isinstance(error, grpc.Call) else ""
            click.echo(f"not switched: {details or 'the server did not answer'}", err=True)
            sys.exit(FAULT)
    done = "off" if answer.switch.engaged else "on"
    click.echo(f"{scope} {name} is {done} (record {answer.record.index})".replace("  ", " "))
