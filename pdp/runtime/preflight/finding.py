"""What is said of a configuration, and of which setting."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pdp.config.settings import Settings
from pdp.core.errors import Fault

Path = tuple[str, ...]
_PREFIX = re.compile(r"([a-z_]+)((?:\.[^\s:]+|\[[^\s\]]+\])*): (.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a start would fail. `code` and `message` as a Fault has them, `path` the setting that is meant."""

    code: str
    path: Path
    message: str

    @classmethod
    def of(cls, fault: Fault, path: Path) -> Problem:
        """A fault, of the setting that begins its message, else of `path`."""
        found = _PREFIX.fullmatch(fault.message)
        if found is None or found[1] not in Settings.model_fields:
            return cls(fault.code, path, fault.message)
        below = found[2].replace("[", ".").replace("]", "")
        return cls(fault.code, (found[1], *below.split(".")[1:]), found[3])


@dataclass(frozen=True, slots=True)
class Risk:
    """Something that is allowed and loosens something, leads nowhere, or soon ends."""

    path: Path
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. Only with no problem would a start succeed."""

    problems: tuple[Problem, ...]
    risks: tuple[Risk, ...]

    @property
    def ok(self) -> bool:
        return not self.problems
