"""An exception for a log: its classes and where it was raised, never its text, for a library's may quote values."""

from __future__ import annotations

import traceback

_FRAMES, _CAUSES = 20, 8


def kinds(error: BaseException) -> list[str]:
    """The classes of an exception and its causes, outermost first."""
    names: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(names) < _CAUSES:
        names.append(f"{type(cause).__module__}.{type(cause).__qualname__}")
        cause = cause.__cause__ or cause.__context__
    return names


def frames(error: BaseException) -> list[str]:
    """Module file, line and function of its frames, innermost last."""
    return [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)[-_FRAMES:]]
