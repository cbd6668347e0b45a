"""Opened commitments: the values and salts behind one record, as the store's owner gives them to a third party.

A file beside the record and its receipt. Nothing in it is believed before it fits the record.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping

from pdp.core.bytes.digest import canonical
from pdp.core.errors import Fault

SCHEMA = "pdp.opened/1"
SUFFIX = ".opened.json"
BUNDLE_SUFFIX = ".bundle.json"
MAX_BYTES = 64 << 20  # of a file: a bundle has 16 MiB, a value 8

Opened = Mapping[str, tuple[bytes, bytes]]  # salt and value of each commitment, by its path


class OpenedFault(Fault):
    """A file is none of opened commitments (`replay.opened`)."""


def text(record_id: str, values: Opened) -> bytes:
    """The file of a record's opened commitments."""
    shown = [
        {"path": path, "salt": salt.hex(), "value": value.decode()} for path, (salt, value) in sorted(values.items())
    ]
    return canonical({"schema": SCHEMA, "record": record_id, "values": shown})


def read(data: bytes) -> tuple[str, Opened]:
    """The record's id and the values. Raises OpenedFault."""
    try:
        fields = json.loads(data)
        values = {
            str(each["path"]): (binascii.unhexlify(each["salt"]), str(each["value"]).encode())
            for each in fields["values"]
        }
        schema, record_id = fields["schema"], str(fields["record"])
    except (ValueError, KeyError, TypeError, RecursionError):
        schema, record_id, values = "", "", {}
    if schema != SCHEMA:
        raise OpenedFault("replay.opened", "is no file of opened commitments; `pdp audit open` writes them.")
    return record_id, values
