"""What is wrong with a prompt file, and where."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from pdp.core.digest import Json

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """`file` is relative to its folder, `line` counts from 1; 0 stands for the file as a whole. A prompt with an
    error is not used."""

    file: str
    line: int
    code: str  # "prompts.*", stable
    text: str  # what is wrong and what to write instead
    severity: str = ERROR

    @override
    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.text} [{self.code}]"

    def fact(self) -> dict[str, Json]:
        return {
            "file": self.file,
            "line": self.line,
            "code": self.code,
            "severity": self.severity,
            "text": self.text,
        }
