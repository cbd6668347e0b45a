"""Brings the tables of a store up to what this release knows, by Alembic, on either database.

A released revision never changes; a change of tables is a new one. `VERSION` is the number of the last.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

VERSION = 21


def upgrade(db: Connection, version: int) -> None:
    """Run what comes after `version` (0: an empty database) in the current transaction, which the caller ends."""
    from alembic import command  # noqa: PLC0415 - a tenth of a second that only new and old stores need
    from alembic.config import Config  # noqa: PLC0415 - same

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = db
    command.stamp(config, f"{version:04}" if version else "base")
    command.upgrade(config, f"{VERSION:04}")
