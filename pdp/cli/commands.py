"""Command groups: subcommands that are imported on use, help in whole sentences, and types of options."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from inspect import isfunction, signature
from pathlib import Path
from typing import Any, ClassVar

import click
from typing_extensions import override

PLAINTEXT = "beyond unix:PATH, 127.0.0.1:PORT and [::1]:PORT only TLS is spoken; give --ca, or `ca` in the profile"
DEVTOOLS = "devtools"  # comes with the source, not with the wheel
TOOLS, LOCAL = "pdp.tools", "pdp.local"  # not in the server's image
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
IN_PATH = click.Path(exists=True, path_type=Path)
IN_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
IN_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_WHOLE = 1000  # characters: longer than any first sentence


def engine_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options --engine and --opa: which engine evaluates."""
    opa = click.option("--opa", help="With --engine opa: the binary; the `opa` on the PATH if left out.")
    engine = click.option("--engine", type=click.Choice(["embedded", "opa"]), default="embedded", show_default=True)
    return engine(opa(command))


def program_first(ctx: click.Context, _parameter: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    """The callback of a COMMAND with options of its own: one that stands before its program is ours, misspelt."""
    if words and words[0].startswith("-"):
        known = [name for each in ctx.command.params for name in each.opts if name.startswith("-")]
        raise click.NoSuchOption(words[0], possibilities=get_close_matches(words[0], known), ctx=ctx)
    return words


class Commands(click.Group):
    """A group whose help gives the first sentence of each command whole, on as many lines as it takes.

    `lazy` has further commands by name, each as `module:attribute`, its first sentence, and the package that it
    needs where an installation may lack that: it is not in the help there, and says so. The group's help imports none
    of them, and a command only itself: a probe must not pay for what other commands need. A room says a command that
    asks a server as a function of a `connection` (`host.feature.Connection`); it becomes a command here. `sections`
    has the help's, each with the names of its commands; what none of them has stands last.
    """

    def __init__(
        self,
        *arguments: Any,
        lazy: Mapping[str, tuple[str, ...]] | None = None,
        sections: Mapping[str, Sequence[str]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._lazy = dict(lazy or {})
        self._sections = dict(sections or {})

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        there = {name for name, (_, _, *needs) in self._lazy.items() if all(map(installed, needs))}
        return sorted({*super().list_commands(ctx), *there})

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        where, _, *needs = self._lazy[cmd_name]
        if not all(map(installed, needs)):
            return _lacking(ctx, cmd_name, *needs)
        module, _, attribute = where.partition(":")
        with loading():
            found = getattr(import_module(module), attribute)
        if isinstance(found, click.Command):
            return found
        if not isfunction(found) or "connection" not in signature(found).parameters:
            raise TypeError(f"{where} is no command")
        from pdp.cli.connection import connected  # noqa: PLC0415 - for these commands alone

        return click.command(cmd_name)(connected(found))

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        there = self.list_commands(ctx)
        for title, names in (*self._sections.items(), ("Commands", self._elsewhere(there))):
            if shown := [name for name in names if name in there]:
                with formatter.section(title):
                    formatter.write_dl([(name, self._sentence(ctx, name)) for name in shown])

    def _elsewhere(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that no section has."""
        placed = {name for section in self._sections.values() for name in section}
        return [name for name in names if name not in placed]

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean `{ctx.command_path} {near[0]}`?", ctx) from None

    def _sentence(self, ctx: click.Context, name: str) -> str:
        if name in self._lazy:
            return self._lazy[name][1]
        command = self.get_command(ctx, name)
        return command.get_short_help_str(_WHOLE) if command is not None else ""


@contextmanager
def loading() -> Iterator[None]:
    """While modules are imported: nothing of them goes away, so the garbage collector looks at none of it, then or
    later. It takes a ninth of an import otherwise."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def installed(package: str) -> bool:
    """Whether a package of ours is here: the wheel is without `DEVTOOLS`, the server's image without more."""
    return find_spec(package) is not None


def not_in_image(what: str) -> str:
    """What is said of a command or option that the server's image lacks."""
    return f"`pdp {what}` is not part of this image; run it from the tools image or where pdp is installed."


def _lacking(ctx: click.Context, command: str, package: str) -> click.Command:
    """The command in an installation without the package that it needs: it says where it is."""
    words = [command]
    while ctx.parent is not None:
        words.insert(0, str(ctx.info_name))
        ctx = ctx.parent
    name, make = " ".join(words), "-".join(words)
    text = not_in_image(name)
    if package == DEVTOOLS:
        text = (
            f"`pdp {name}` comes with the source, not with the package: clone the repository and run `make {make}`."
        )

    @click.command(command, help=text, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    def told() -> None:
        raise click.UsageError(text)

    return told


class Duration(click.ParamType[int]):
    """A number and one of `units`, in seconds; at most 27 years."""

    name = "duration"
    _SECONDS: ClassVar[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

    def __init__(self, units: str, example: str) -> None:
        self._units, self._example = units, example

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(rf"([1-9][0-9]{{0,5}})([{self._units}])", str(value))
        seconds = int(match[1]) * self._SECONDS[match[2]] if match is not None else 0
        if not 0 < seconds < 10_000 * 86_400:
            self.fail(f"must be a number and one of {', '.join(self._units)}, such as {self._example}", param, ctx)
        return seconds


class OutFile(click.Path):
    """A file to write, as `pathlib.Path`: refused before the work when its folder is missing or read-only."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"the folder of {path.name} does not exist; create it.", param, ctx)
        if not path.exists() and not os.access(path.parent, os.W_OK):
            self.fail(f"the folder of {path.name} may not be written to.", param, ctx)
        return path


def publish(path: Path, gauges: Mapping[str, str], label: str, samples: Mapping[str, Mapping[str, float]]) -> None:
    """Write gauges as Prometheus reads them from a file (node_exporter's textfile collector).

    `gauges` has their help by name, `samples` their values by the label's value, which is empty where there is no
    label. The file is replaced at once, so that nobody reads half of it. All may read it: it holds figures alone.
    """
    text = ""
    for name, says in gauges.items():
        text += f"# HELP {name} {says}\n# TYPE {name} gauge\n"
        text += "".join(f"{name}{_labels(label, of)} {value:.10g}\n" for of, value in samples[name].items())
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o644)
    draft.replace(path)


def _labels(label: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{{{label}="{escaped}"}}' if value else ""
