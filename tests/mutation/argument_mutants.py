"""Bugs planted in how arguments are searched apart: whose answer is whose, and what a failing worker counts for."""

from __future__ import annotations

from mutant import Mutant

_POOL, _CONTENT = "pdp/content/argument_workers.py", "pdp/content/arguments.py"

ARGUMENTS = (
    Mutant(
        "arguments-unread-pass",
        _CONTENT,
        "check=_UNREAD if fact.check.ok else fact.check",
        "check=fact.check",
        "arguments that nobody searched deny",
    ),
    Mutant(
        "arguments-unread-is-nothing-found",
        _CONTENT,
        "if found is None:",
        "if not found and found is not None:",
        "a worker that fails has read nothing",
    ),
    Mutant(
        "arguments-answer-of-another",
        _POOL,
        "        or answered != ident\n",
        "",
        "an answer to another question is none",
    ),
    Mutant(
        "arguments-answer-cut-off",
        _POOL,
        'not line.endswith(b"\\n")\n        or answered',
        "answered",
        "half a line is no answer",
    ),
    Mutant(
        "arguments-worker-kept",
        _POOL,
        "            self._discard(worker)\n            raise",
        "            self._idle.append(worker)\n            raise",
        "a worker whose answer nobody took is done away with",
    ),
    Mutant(
        "arguments-sql-in-the-loop",
        _POOL,
        '"sql": 0,',
        '"sql": 4_096,',
        "SQL is never parsed in the event loop",
    ),
)
