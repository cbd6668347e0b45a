"""Evaluations that are no decisions: of a document as it was, or as it might have been. They change nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdp.core import changes
from pdp.core.approvals.call import CallContext, SourcedEvidence
from pdp.core.changes import alternatives
from pdp.core.digest import Json
from pdp.core.elements import EngineQuery, decision_of
from pdp.core.errors import EngineFault
from pdp.core.outcome import Outcome, conclude, denied, read
from pdp.core.policy import Bundle
from pdp.ports import EvidenceSource, LoadedPolicy

EVALUATIONS = 600  # the most that one search for changes may try
SEARCH_BYTES = 32 << 20  # of documents, likewise: a search shares workers and event loop with decisions
TOGETHER_BYTES = 512 << 10  # of documents that are written and evaluated at once
_NOBODY: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class ExplainedCase:
    """One evaluation to be explained. `document` is empty when no policy saw one, `answer` when no engine answered;
    `supported` are the kinds of obligations that the caller honours, None for all."""

    policy: LoadedPolicy
    document: bytes
    outcome: Outcome
    supported: frozenset[str] | None
    answer: bytes = b""


class KnownEvidence:
    """Stored evidence only; none is requested."""

    def __init__(self, source: EvidenceSource) -> None:
        self._source = source

    async def known(self, asked: CallContext, at_ns: int, /) -> tuple[SourcedEvidence, ...]:
        """See the port."""
        return await self._source.known(asked, at_ns)

    async def gather(
        self, _asked: CallContext, _opened: tuple[Mapping[str, Json], ...], _at_ns: int, /
    ) -> tuple[SourcedEvidence, ...]:
        """Nobody."""
        return ()


async def evaluated(
    policy: LoadedPolicy, document: bytes, supported: frozenset[str] | None, advice: Mapping[str, str] = _NOBODY
) -> tuple[Outcome, bytes]:
    """The outcome of a policy for a document, evaluated anew, and its engine's answer. Raises EngineFault."""
    told: dict[str, Any] = json.loads(document)
    asked = EngineQuery.of(told, advice, fresh=True)
    answer = await policy.engine.evaluate(asked)
    if supported is None:
        supported = frozenset(str(obligation["kind"]) for obligation in read(decision_of(answer)).obligations)
    return conclude(asked, answer, supported), answer


async def search(
    case: ExplainedCase, document: Mapping[str, Any], bundle: Bundle, failed: Callable[[Outcome], None]
) -> changes.SearchResult:
    """The smallest changes that would allow a denied call, by at most EVALUATIONS tries, fewer for large documents.
    An evaluation that fails ends the search: the next ones might cost a policy worker each. `failed` hears of it."""
    size = len(case.document)
    budget, together = min(EVALUATIONS, SEARCH_BYTES // size), max(1, TOGETHER_BYTES // size)
    codes = frozenset(reason.code for reason in case.outcome.reasons)
    steps = changes.search(document, case.outcome, alternatives(document, bundle, budget + 1, codes), budget)
    outcomes: list[Outcome] | None = None
    failures: list[Outcome] = []
    tries = 0
    while True:
        try:
            asked = next(steps) if outcomes is None else steps.send(outcomes)
        except StopIteration as done:
            found: changes.SearchResult = done.value
            return found
        outcomes = []
        for some in _batched(asked, together):
            tries += len(some)
            outcomes += await asyncio.gather(*(_tried(case, supposed, failures) for supposed in some))
            if failures:
                for outcome in failures:
                    failed(outcome)
                return changes.SearchResult((), incomplete=True, evaluations=tries)


async def _tried(case: ExplainedCase, supposed: Mapping[str, Any], failures: list[Outcome]) -> Outcome:
    if not case.policy.valid(supposed):
        return denied("policy.input")
    try:
        data = json.dumps(supposed, allow_nan=False, separators=(",", ":")).encode()
        return (await evaluated(case.policy, data, case.supported))[0]
    except EngineFault as fault:
        failures.append(denied(fault.code))
        return failures[-1]


def _batched(documents: Sequence[dict[str, Any]], size: int) -> Iterator[Sequence[dict[str, Any]]]:
    """The documents in their order, `size` at a time."""
    return (documents[start : start + size] for start in range(0, len(documents), size))
