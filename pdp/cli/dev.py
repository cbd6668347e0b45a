"""`pdp dev`: keys and tokens for development. A production configuration refuses both."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import click

from pdp.cli.commands import FOLDER, Commands, Duration
from pdp.core.errors import ConfigurationFault
from pdp.identity import development


@click.group(cls=Commands)
def dev() -> None:
    """Keys and tokens for development; refused in production."""


@dev.command("keys")
@click.argument("folder", metavar="DIR", type=FOLDER)
def make_keys(folder: Path) -> None:
    """Make an Ed25519 key in DIR: key.json (private) and jwks.json (public).

    Existing files are never replaced.
    """
    try:
        key = development.write_keys(folder, secrets.token_bytes(development.SEED_BYTES))
    except ConfigurationFault as fault:
        raise click.UsageError(fault.message) from None
    click.echo(f"key {key.kid} written to {folder / development.KEY_FILE} and {folder / development.JWKS_FILE}")
    click.echo("trust it in a configuration for development only:")
    click.echo(
        f"  issuers:\n    - issuer: {development.DEVELOPMENT_ISSUER}\n      tenant: <tenant>\n"
        f"      jwks_file: {folder / development.JWKS_FILE}\n      development: true"
    )


@dev.command("token")
@click.option("--keys", "folder", required=True, type=FOLDER, help="From `dev keys`.")
@click.option("--sub", "subject", required=True, help="Subject: for whom the agent acts, or the caller.")
@click.option(
    "--aud", "audience", required=True, multiple=True, help="Audience: the server's resource, or the caller audience."
)
@click.option("--client-id", default=None, help="The agent. Equal to --sub, the token is a service's.")
@click.option("--scope", "scopes", multiple=True, help="A scope; may be given again.")
@click.option("--group", "groups", multiple=True, help="A group of the subject; may be given again.")
@click.option("--act", "actors", multiple=True, help="An actor (RFC 8693), the current one first; repeat.")
@click.option("--service", is_flag=True, help="No traces of a person signing in.")
@click.option(
    "--expires",
    "lifetime",
    type=Duration("smh", "10m"),
    default="10m",
    show_default=True,
    help="Lifetime: 90s, 10m, 1h.",
)
def make_token(*, folder: Path, service: bool, lifetime: int, **given: Any) -> None:
    """Print an access token signed with a development key."""
    try:
        key = development.read_key(folder)
    except ConfigurationFault as fault:
        raise click.UsageError(fault.message) from None
    person = not service and given["subject"] != given["client_id"]
    claims = development.claims(amr=("pwd",) if person else (), **given)
    click.echo(development.mint(claims, key, time.time_ns(), lifetime_seconds=lifetime))
