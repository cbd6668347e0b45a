"""The options of commands that read a store while processes may be writing it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pdp.cli.commands import IN_FOLDER, usual_config
from pdp.proof.archive import ArchiveFolder
from pdp.runtime.config import settings
from pdp.store.options import StoreOptions
from pdp.store.reading import FromArchive, StoreReader, no_archive, reading

archive_option = click.option("--archive", type=IN_FOLDER, help="Where archived records are.")


@dataclass(frozen=True, slots=True)
class StorePlace:
    """A store, by its folder or by a server's configuration, and its archive. Raises UsageError unless it is one of
    the two."""

    store: Path | None
    config: Path | None
    archive: Path | None = None

    def __post_init__(self) -> None:
        if (self.store is None) == (self.config is None):
            raise click.UsageError("Give either STORE or --config.")

    def opening(self) -> tuple[StoreOptions, bytes, FromArchive]:
        """Its options, its password, and what reads its archive."""
        options, password, archive = StoreOptions(path=self.store or Path()), b"", self.archive
        if self.config is not None:
            loaded = settings.load(self.config, os.environ)
            options, password = loaded.store, settings.store_password(loaded)
            archive = archive or loaded.audit.archive
        return options, password, ArchiveFolder(archive).record if archive else no_archive

    @contextmanager
    def reader(self) -> Iterator[StoreReader]:
        """Its records. Raises ConfigurationFault `store.path`."""
        options, password, archive = self.opening()
        with reading(options, password, archive) as reader:
            yield reader


def store_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command STORE, or --config instead of it, and --archive, as its argument `store`."""

    @functools.wraps(command)
    def placed(*, store: Path | None, config: Path | None = None, archive: Path | None, **given: Any) -> None:
        command(store=StorePlace(store, config or (usual_config() if store is None else None), archive), **given)

    return click.argument("store", type=IN_FOLDER, required=False)(archive_option(placed))
