"""Groups of commands: they are imported when they are used, and their help gives whole sentences."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
from typing_extensions import override

PLAINTEXT = "--target: beyond unix:PATH, 127.0.0.1:PORT and [::1]:PORT only TLS is spoken; give --ca"
DEVTOOLS = "devtools"  # comes with the source, not with the wheel
_WHOLE = 1000  # characters: longer than any first sentence


class Commands(click.Group):
    """A group whose help gives the first sentence of each command whole, on as many lines as it takes.

    `lazy` has further commands by name, each as `module:attribute`, imported when it is run or the group's help is
    shown: a probe must not pay for what other commands need.
    """

    def __init__(self, *arguments: Any, lazy: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._lazy = dict(lazy or {})

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._lazy})

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        where = self._lazy.get(cmd_name)
        if where is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = where.partition(":")
        try:
            found = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if error.name != DEVTOOLS:
                raise
            return _from_source(cmd_name)
        if not isinstance(found, click.Command):
            raise TypeError(f"{where} is no command")
        return found

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(_WHOLE)) for name, command in commands if command])


def _from_source(name: str) -> click.Command:
    """The command in an installation without the development tools: it says where it is to be had."""
    text = f"`pdp {name}` comes with the source, not with the package: clone the repository and run `make {name}`."

    @click.command(name, help=text, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    def command() -> None:
        raise click.UsageError(text)

    return command
