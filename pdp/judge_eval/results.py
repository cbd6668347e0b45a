"""What a judge said of each case, in a file that grows line by line: a run that was ended goes on where it was.

A line counts for a case as long as the judge would be shown the same (`seen_sha256` covers prompt, sections, settings
and data) and the same model is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pdp.core.errors import ConfigurationFault
from pdp.core.judge.judge_input import OK, Opinion, Rendered
from pdp.core.judge.verdict import read_opinion
from pdp.judge.session_result import SessionResult

# why a model was not heard; asked again in the next run, since they say nothing about the model
PASSING = frozenset({"timeout", "endpoint", "rate_limited", "breaker_open", "budget", "overloaded", "unavailable"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a result is for."""

    case: str
    seen_sha256: str
    model: str  # as it was asked for


@dataclass(frozen=True, slots=True)
class Result:
    """One line. `said_model` is what the endpoint calls itself; the rest as in `Opinion` and `SessionResult`."""

    case: str
    seen_sha256: str
    model: str
    prompt: str
    prompt_sha256: str
    status: str
    verdict: str | None
    confidence: float | None
    violated: tuple[str, ...]
    rationale: str
    said_model: str
    tokens_in: int
    tokens_out: int
    cost_micros: int
    latency_ms: int

    @property
    def asked(self) -> Asked:
        return Asked(self.case, self.seen_sha256, self.model)

    @property
    def heard(self) -> bool:
        """Whether the model was: a malformed answer is one too."""
        return self.status not in PASSING


def result(asked: Asked, rendered: Rendered, said: SessionResult) -> Result:
    """What the decision process would make of it."""
    model = said.model or asked.model
    opinion = read_opinion(said.text, said.finish, rendered, model) if said.answered else Opinion(said.status)
    return Result(
        case=asked.case,
        seen_sha256=asked.seen_sha256,
        model=asked.model,
        prompt=rendered.prompt,
        prompt_sha256=rendered.prompt_sha256,
        status=opinion.status,
        verdict=opinion.verdict if opinion.status == OK else None,
        confidence=opinion.confidence,
        violated=opinion.violated,
        rationale=opinion.rationale,
        said_model=model,
        tokens_in=said.tokens_in,
        tokens_out=said.tokens_out,
        cost_micros=said.cost_micros,
        latency_ms=said.latency_ms,
    )


def line(found: Result) -> bytes:
    """As it stands in the file."""
    return json.dumps(asdict(found), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def read_results(path: Path) -> tuple[Result, ...]:
    """All lines, oldest first; none without the file. A last line that was cut off is left out. Raises
    ConfigurationFault `judge.results`."""
    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise _fault(path, "cannot be read; check the path", repr(error)) from None
    whole = data[: data.rfind(b"\n") + 1]
    return tuple(_read(path, number, text) for number, text in enumerate(whole.splitlines(), 1))


def mend(path: Path) -> None:
    """Take a line away that was cut off in the middle, so that the next one begins on its own."""
    if path.exists() and not (data := path.read_bytes()).endswith(b"\n"):
        path.write_bytes(data[: data.rfind(b"\n") + 1])


def by_asked(results: Iterable[Result]) -> Mapping[Asked, Result]:
    """The newest of each that was heard."""
    return {each.asked: each for each in results if each.heard}


def _read(path: Path, number: int, text: bytes) -> Result:
    try:
        found = json.loads(text)
        return Result(**{**found, "violated": tuple(found["violated"])})
    except (ValueError, TypeError, KeyError):
        names = ", ".join(f.name for f in fields(Result))
        raise _fault(path, f"line {number}: is no result; each has {names}") from None


def _fault(path: Path, what: str, detail: str = "") -> ConfigurationFault:
    return ConfigurationFault("judge.results", f"{path.name}: {what}.", detail=detail)
