"""A file that a command will write: said to be impossible before the work is done, not after."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from typing_extensions import override


class OutFile(click.Path):
    """A path as `pathlib.Path`, in a folder that is there and may be written to."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        found = Path(os.fsdecode(super().convert(value, param, ctx)))
        folder = found.parent
        if not folder.is_dir():
            self.fail(f"the folder of {found.name} does not exist; create it.", param, ctx)
        if not found.exists() and not os.access(folder, os.W_OK):
            self.fail(f"the folder of {found.name} may not be written to.", param, ctx)
        return found
