"""Tools of the agents' own, in our words: their vendors publish no definitions. What a call's tool is named must
stand here; its arguments may have members of which we do not know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class OwnTool:
    """A tool of an agent. `answer` is what we propose; with `network`, what it is told may leave the machine; `paths`
    are the arguments that name files and folders, without which it works where the agent does."""

    definition: Mapping[str, Any]
    answer: Literal["reads", "asks"]
    network: bool
    paths: tuple[str, ...]

    @property
    def name(self) -> str:
        """As the agent names it."""
        return str(self.definition["name"])


@cache
def own_tools(agent: str) -> tuple[OwnTool, ...]:
    """Those of an agent of `AGENTS`."""
    listed = json.loads(files(__package__).joinpath("own_tools.json").read_bytes())
    return tuple(OwnTool(**{**each, "paths": tuple(each["paths"])}) for each in listed[agent])


def own_tool(agent: str, name: str) -> OwnTool | None:
    """None for a tool that is not known."""
    return next((each for each in own_tools(agent) if each.name == name), None)


def reaches(tool: OwnTool, arguments: Mapping[str, Any], at: str, folder: Path) -> bool:
    """Whether a call of a tool names `folder`, something in it, or a folder that holds it. `at` is where the agent
    works; relative names without it count as reaching."""
    named = [value for name in tool.paths for value in _texts(arguments.get(name))]
    if not tool.paths:
        return False
    for each in named or [""]:
        path = Path(at, each.split("*")[0]).expanduser()
        if not path.is_absolute():
            return True
        whole = path.resolve()
        if whole.is_relative_to(folder) or folder.is_relative_to(whole):
            return True
    return False


def _texts(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(each) for each in value] if isinstance(value, list) else []
