"""Groups of commands, as their help lists them."""

from __future__ import annotations

import click
from typing_extensions import override

_WHOLE = 1000  # characters: longer than any first sentence


class Commands(click.Group):
    """A group whose help gives the first sentence of each command whole, on as many lines as it takes."""

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        told = [(name, self.commands[name].get_short_help_str(_WHOLE)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(told)
