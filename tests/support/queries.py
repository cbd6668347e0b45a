"""What an engine is asked, byte by byte: also what no document makes."""

from __future__ import annotations

from collections.abc import Iterable

from pdp.core.outcome.elements import EngineQuery, Members


def raw_query(payload: bytes, phase: str = "call", keys: Iterable[str] = ()) -> EngineQuery:
    """A query of these bytes, about a document of the same."""
    values = {"phase": phase, "targets": [{"key": key} for key in keys]}
    made = EngineQuery(Members(values, {"all": payload[1:-1].decode(errors="replace")}, {}))
    made._payload = payload
    return made
