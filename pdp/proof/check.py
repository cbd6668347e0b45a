"""The strict check of one record's bytes against `pdp.record/1`.

A verifier hashes bytes as they are stored; this says whether those bytes are a record that we could have
written: one canonical encoding, the closed schema, an instant that says the same twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import jsonschema_rs

from pdp.core.bytes.digest import canonical
from pdp.core.check import NS
from pdp.core.errors import InvalidRequest
from pdp.core.record.encoding import MAX_BYTES
from pdp.proof.options import SCHEMA_FILE


@dataclass(frozen=True, slots=True)
class RecordProblem:
    """One thing that is wrong. `where` is a JSON Pointer ("" is the whole record); `message` shows no value."""

    code: str  # "record.size" | "record.json" | "record.encoding" | "record.schema" | "record.time"
    where: str
    message: str


def check(record: bytes) -> list[RecordProblem]:
    """Everything that is wrong with a record's bytes; empty when nothing is. Never raises."""
    if len(record) > MAX_BYTES:
        return [RecordProblem("record.size", "", f"is {len(record)} bytes; a record has at most {MAX_BYTES}")]
    try:
        value = json.loads(record.decode("utf-8"))
        same = canonical(value) == record  # also catches duplicate keys, spaces, other forms of a number
    except (ValueError, RecursionError, InvalidRequest):
        return [RecordProblem("record.json", "", "is not UTF-8 JSON within int64")]
    if not same:
        return [RecordProblem("record.encoding", "", "is not in pdp-jcs-1 form")]
    problems = [
        RecordProblem(
            "record.schema", "".join(f"/{step}" for step in e.instance_path), f"breaks {_rule(e.schema_path)}"
        )
        for e in _validator().iter_errors(value)
    ]
    if not problems and not _says_same_instant(value["time"], value["time_ns"]):
        problems.append(RecordProblem("record.time", "/time", "is not the instant of time_ns"))
    return problems


@lru_cache(maxsize=1)
def _validator() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads(SCHEMA_FILE.read_bytes()))


def _rule(path: list[str | int]) -> str:
    return "/".join(map(str, path))


def _says_same_instant(text: str, at_ns: int) -> bool:
    try:
        at = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return False
    return divmod(at_ns, NS) == (int(at.timestamp()), int(text[20:29]))
