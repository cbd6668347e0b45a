"""The problem of something that goes on: said once, and again when it is another, or none any more."""

from __future__ import annotations

import logging
from dataclasses import dataclass


@dataclass(slots=True)
class Problem:
    """The last problem of something that `log` calls so."""

    log: logging.Logger
    of: str
    said: str = ""

    def say(self, problem: str) -> bool:
        """Log a problem, or its end, when it changes; returns whether it did."""
        if problem == self.said:
            return False
        self.said = problem
        self.log.log(logging.ERROR if problem else logging.INFO, "%s: %s", self.of, problem or "recovered")
        return True
