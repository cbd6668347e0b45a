"""The codes of the service's own denials, and the control that each serves.

Controls are the items of the minimum bar of the OWASP guide for secure MCP servers (MB-1.1 to MB-5.3) and the OWASP
MCP Top 10 (MCP01 to MCP10). Elements of packs name theirs themselves; gate and service have this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from pdp.core.tables import tables

_TABLES = tables(__file__)
CONTROLS: Mapping[str, str] = _TABLES["controls"]
UNSERVED: Mapping[str, str] = _TABLES["unserved"]
SERVED: Mapping[str, str] = _TABLES["served"]

# No organisation's pack may use these, so that a code says who denied.
SERVICE_CODES = frozenset(code for code in SERVED if "." not in code)


def is_service_code(code: str) -> bool:
    """Whether a code belongs to the service."""
    return _first_part(code) in SERVICE_CODES


@lru_cache(1024)
def control_of(code: str) -> str:
    """The control that a denial by gate or service serves; empty for a code of a pack."""
    return SERVED.get(code) or SERVED.get(_first_part(code), "")


def _first_part(code: str) -> str:
    return code.partition(".")[0]
