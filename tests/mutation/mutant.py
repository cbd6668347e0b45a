"""What a mutant is: one text of one file, replaced, and the promise that this breaks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class StaleMutantError(Exception):
    """The text that a mutant replaces no longer stands in its file exactly once: the list must follow the code."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` None means that the file does not exist and is made, with `new` in it."""

    name: str
    file: str  # relative to the repository
    old: str | None
    new: str
    attacks: str  # the promise

    def applied(self, tree: Path) -> str:
        """The file's text with the mutation in it. Raises StaleMutantError."""
        path = tree / self.file
        if self.old is None:
            if path.exists():
                raise StaleMutantError(f"{self.name}: {self.file} exists already")
            return self.new
        text = path.read_text() if path.is_file() else ""
        if (count := text.count(self.old)) != 1:
            raise StaleMutantError(f"{self.name}: its old text stands {count} times in {self.file}, not once")
        return text.replace(self.old, self.new)
