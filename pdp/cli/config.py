"""`pdp config`."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click

from pdp import preflight, settings
from pdp.cli.commands import Commands
from pdp.core.errors import ConfigurationFault
from pdp.settings import Settings
from pdp.tooling.config_explain import Setting, explain
from pdp.tooling.config_origins import origins
from pdp.tooling.config_reference import example
from pdp.tooling.config_yaml import variables

DENIED = 10


@click.group(cls=Commands)
def config() -> None:
    """Look at a configuration."""


@config.command("check")
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--explain", "explaining", is_flag=True, help="Show every setting in force, its origin and meaning.")
@click.option("--syntax-only", is_flag=True, help="Look at FILE alone, not at the files and services that it names.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(path: Path, *, explaining: bool, syntax_only: bool, as_json: bool) -> None:
    """Say everything that is wrong with FILE (and PDP_ variables), or that it is right.

    What it names is tried as a start would: keys and certificates are read, the policy is put through the load gate,
    signatures are verified, secrets are looked up. Nothing is started or written.
    """
    try:
        found = settings.load(path, os.environ)
    except ConfigurationFault as fault:
        if as_json:
            _print_json(None, [preflight.Problem(fault.code, line) for line in fault.message.splitlines()], [])
        else:
            click.echo(fault.message, err=True)
        raise SystemExit(DENIED) from None
    told = list(explain(found, origins(path.read_text("utf-8"), variables(os.environ)))) if explaining else []
    problems = [] if syntax_only else preflight.problems(found, time.time_ns())
    if as_json:
        _print_json(found, problems, told)
    else:
        _print(found, problems, told)
    if problems:
        raise SystemExit(DENIED)


@config.command("example")
def show_example() -> None:
    """Print a complete, commented configuration."""
    click.echo(example(Settings), nl=False)


def _print(found: Settings, problems: list[preflight.Problem], told: list[Setting]) -> None:
    for setting in told:
        click.echo(setting.text())
    for risk in preflight.risks(found):
        click.secho(f"warning: {risk.path}: {risk.message}", fg="yellow", err=True)
    for problem in problems:
        click.secho(f"{problem.code}: {problem.message}", fg="red", err=True)
    if not problems:
        callers, issuers = len(found.identity.callers), len(found.identity.issuers)
        click.echo(f"ok: {found.mode}, {_counted(callers, 'caller')}, {_counted(issuers, 'issuer')}")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _print_json(found: Settings | None, problems: list[preflight.Problem], told: list[Setting]) -> None:
    facts = {
        "schema": "pdp.config-check/1",
        "ok": found is not None and not problems,
        "problems": [{"code": p.code, "message": p.message} for p in problems],
        "warnings": [{"path": r.path, "message": r.message} for r in (preflight.risks(found) if found else [])],
        "settings": [setting.fact() for setting in told],
    }
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
