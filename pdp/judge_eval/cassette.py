"""Sessions on tape: what an endpoint said is kept and played back, so that a measurement can be repeated offline.

A line is {"seen_sha256", "model", "said"}. The nonce of a session is taken out and put in again, so a tape serves any
number of runs; the key is in no answer, and whatever looks like a secret is taken out as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import BinaryIO, Protocol

from pdp.core.errors import ConfigurationFault
from pdp.core.judge.judge_input import Rendered
from pdp.core.judge.redact import redacted_text
from pdp.judge.session_result import SessionResult

_NONCE = "⟨nonce⟩"


class Bench(Protocol):
    """Where sessions are held (`pdp.judge.session_runner.Sittings`)."""

    async def hold(self, tenant: str, rendered: Rendered, within_s: float) -> SessionResult:
        """One session. Never raises for what an endpoint does."""
        ...


class Recorder:
    """Passes on, and keeps what was answered in an open file."""

    def __init__(self, inner: Bench, model: str, file: BinaryIO) -> None:
        self._inner, self._model, self._file = inner, model, file

    async def hold(self, tenant: str, rendered: Rendered, within_s: float) -> SessionResult:
        """As the endpoint answers."""
        said = await self._inner.hold(tenant, rendered, within_s)
        if said.answered:
            # what a model wrote in place of the nonce itself must not become one
            text = said.text.replace(_NONCE, "").replace(rendered.nonce, _NONCE)
            kept = replace(said, text=redacted_text(text))
            entry = {"seen_sha256": rendered.seen_sha256, "model": self._model, "said": asdict(kept)}
            self._file.write(json.dumps(entry, ensure_ascii=False, sort_keys=True).encode() + b"\n")
            self._file.flush()
        return said


class Player:
    """Answers from a tape and from nothing else."""

    def __init__(self, path: Path, model: str) -> None:
        """Raises ConfigurationFault `judge.cassette`."""
        self._name, self._model, self._said = path.name, model, _read(path)

    async def hold(self, _tenant: str, rendered: Rendered, _within_s: float) -> SessionResult:
        """As it was then. Raises ConfigurationFault `judge.cassette` for what is not on the tape."""
        said = self._said.get((rendered.seen_sha256, self._model))
        if said is None:
            raise _fault(self._name, "holds no answer of this model to one of the cases; record it again")
        return replace(said, text=said.text.replace(_NONCE, rendered.nonce))


def models_of(path: Path) -> tuple[str, ...]:
    """The models on a tape. Raises ConfigurationFault `judge.cassette`."""
    return tuple(sorted({model for _, model in _read(path)}))


def _read(path: Path) -> Mapping[tuple[str, str], SessionResult]:
    found: dict[tuple[str, str], SessionResult] = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise _fault(path.name, "cannot be read; check the path", repr(error)) from None
    for number, text in enumerate(lines, 1):
        try:
            entry = json.loads(text)
            found[entry["seen_sha256"], entry["model"]] = SessionResult(**entry["said"])
        except (ValueError, TypeError, KeyError):
            raise _fault(path.name, f"line {number}: is no recorded answer") from None
    return found


def _fault(name: str, what: str, detail: str = "") -> ConfigurationFault:
    return ConfigurationFault("judge.cassette", f"{name}: {what}.", detail=detail)
