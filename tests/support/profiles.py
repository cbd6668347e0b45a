"""Profiles of connections, for the commands that take one."""

from __future__ import annotations

import json
from pathlib import Path


def profile(folder: Path, name: str = "", **said: str | Path) -> tuple[str, str]:
    """The option that names a profile of this content, which is added to the file in `folder`."""
    path = folder / "profiles.toml"
    written = path.read_text() if path.exists() else ""
    name = name or f"p{written.count('[')}"
    path.write_text(
        f"{written}[{name}]\n" + "".join(f"{key} = {json.dumps(str(value))}\n" for key, value in said.items())
    )
    path.chmod(0o600)
    return "--profile", f"{path}:{name}"
