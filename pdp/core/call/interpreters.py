"""The kinds of interpreters of arguments and the codes of their guards, as data (`interpreters.toml`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pdp.core.tables import tables

TABLES: Mapping[str, Any] = tables(__file__)
KINDS: Mapping[str, Mapping[str, Any]] = TABLES["kinds"]
