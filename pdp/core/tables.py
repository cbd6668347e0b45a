"""Tables of rows that reviewers read as data: a TOML file beside the module that uses them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


@cache
def tables(module: str, name: str = "") -> Mapping[str, Any]:
    """What stands in the file `name` beside a module, of which `module` is the `__file__`; without a name in the one
    that is called like it. Read once."""
    path = Path(module)
    return tomllib.loads((path.with_name(name) if name else path.with_suffix(".toml")).read_text(encoding="utf-8"))
