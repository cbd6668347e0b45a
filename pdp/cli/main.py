"""`pdp`: the command line. Exit codes: 0 allow or done, 10 deny, 11 pending, 2 usage, 1 fault."""

from __future__ import annotations

import sys

import click

from pdp import __version__
from pdp.cli.approvals import approvals
from pdp.cli.bench import bench
from pdp.cli.commands import Commands
from pdp.cli.config import config
from pdp.cli.consent import consent
from pdp.cli.decide import decide
from pdp.cli.demo import demo
from pdp.cli.dev import dev
from pdp.cli.explain import explain
from pdp.cli.grants import grants
from pdp.cli.health import health
from pdp.cli.judge import judge
from pdp.cli.policy import policy
from pdp.cli.serve import serve
from pdp.cli.status import reload, status
from pdp.cli.switch import switch
from pdp.cli.tools import tools
from pdp.core.errors import Fault

FAULT = 1


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="pdp")
def cli() -> None:
    """A policy decision point for the tool calls of AI agents."""


for command in (
    approvals,
    bench,
    config,
    consent,
    decide,
    demo,
    dev,
    explain,
    grants,
    health,
    judge,
    policy,
    reload,
    serve,
    status,
    switch,
    tools,
):
    cli.add_command(command)


def main() -> None:
    """The entry point. A fault ends with its message and exit code 1, never with a trace."""
    try:
        cli(standalone_mode=True)
    except Fault as fault:
        click.echo(f"{fault.code}: {fault.message}", err=True)
        sys.exit(FAULT)


if __name__ == "__main__":
    main()
