"""What reads arguments: the kinds of interpreters and the codes of their guards (`interpreters.toml`), data that
reviewers read, not code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pdp.core.tables import tables

TABLES: Mapping[str, Any] = tables(__file__)
KINDS: Mapping[str, Mapping[str, Any]] = TABLES["kinds"]
