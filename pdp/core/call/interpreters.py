"""What reads arguments: the kinds of interpreters and the codes of their guards (`interpreters.toml`), data that
reviewers read, not code."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TABLES: Mapping[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
KINDS: Mapping[str, Mapping[str, Any]] = TABLES["kinds"]
