"""`pdp`: the command line. Exit codes: 0 allow or done, 10 deny, 11 pending, 2 usage, 1 fault."""

from __future__ import annotations

import sys

import click

from pdp import __version__
from pdp.cli.commands import Commands
from pdp.core.errors import Fault

FAULT = 1
_COMMANDS = {
    "approvals": "pdp.cli.approvals:approvals",
    "bench": "devtools.bench.cli:bench",
    "config": "pdp.cli.config:config",
    "consent": "pdp.cli.consent:consent",
    "decide": "pdp.cli.decide:decide",
    "demo": "devtools.demo.cli:demo",
    "dev": "pdp.cli.dev:dev",
    "explain": "pdp.cli.explain:explain",
    "grants": "pdp.cli.grants:grants",
    "health": "pdp.cli.health:health",
    "judge": "pdp.cli.judge:judge",
    "policy": "pdp.cli.policy:policy",
    "reload": "pdp.cli.status:reload",
    "serve": "pdp.cli.serve:serve",
    "status": "pdp.cli.status:status",
    "switch": "pdp.cli.switch:switch",
    "tools": "pdp.cli.tools:tools",
}


@click.group(
    cls=Commands, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="pdp")
def cli() -> None:
    """A policy decision point for the tool calls of AI agents."""


def main() -> None:
    """The entry point. A fault ends with its message and exit code 1, never with a trace."""
    try:
        cli(standalone_mode=True)
    except Fault as fault:
        click.echo(f"{fault.code}: {fault.message}", err=True)
        sys.exit(FAULT)


if __name__ == "__main__":
    main()
