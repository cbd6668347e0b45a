"""Tables of rows that reviewers read as data: a TOML file beside the module that uses them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


@cache
def tables(module: str, name: str = "") -> Mapping[str, Any]:
    """The parsed TOML file `name` beside a module (`module` is its `__file__`), by default the one named like the
    module. Cached."""
    path = Path(module)
    return tomllib.loads((path.with_name(name) if name else path.with_suffix(".toml")).read_text(encoding="utf-8"))
