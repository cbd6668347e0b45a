"""The search for what would allow a denied call: how much of it is tried, and evaluated at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdp.core.errors import EngineFault
from pdp.core.outcome import Outcome, changes, denied
from pdp.core.outcome.policy import Bundle
from pdp.core.ports import LoadedPolicy
from pdp.decide.replay import evaluated

EVALUATIONS = 600  # the most that one search for changes may try
SEARCH_BYTES = 32 << 20  # of documents, likewise: a search shares workers and event loop with decisions
TOGETHER_BYTES = 512 << 10  # of documents that are written and evaluated at once


@dataclass(frozen=True, slots=True)
class ExplainedCase:
    """One evaluation to be explained. `document` is empty when no policy saw one, `answer` when no engine answered;
    `supported` are the kinds of obligations that the caller honours, None for all."""

    policy: LoadedPolicy
    document: bytes
    outcome: Outcome
    supported: frozenset[str] | None
    answer: bytes = b""


async def search(
    case: ExplainedCase, document: Mapping[str, Any], bundle: Bundle, failed: Callable[[Outcome], None]
) -> changes.SearchResult:
    """The smallest changes that would allow a denied call, by at most EVALUATIONS tries, fewer for large documents.
    An evaluation that fails ends the search: the next ones might cost a policy worker each. `failed` hears of it."""
    size = len(case.document)
    budget, together = min(EVALUATIONS, SEARCH_BYTES // size), max(1, TOGETHER_BYTES // size)
    codes = frozenset(reason.code for reason in case.outcome.reasons)
    steps = changes.alternatives(document, bundle, budget + 1, codes)
    tries = 0

    async def tried(supposed: Mapping[str, Any]) -> Outcome:
        if not case.policy.valid(supposed):
            return denied("policy.input")
        try:
            return (await evaluated(case.policy, supposed, case.supported))[0]
        except EngineFault as fault:
            failed(denied(fault.code))
            raise

    async def outcomes(asked: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        nonlocal tries
        found: list[Outcome] = []
        for start in range(0, len(asked), together):
            some = asked[start : start + together]
            tries += len(some)
            made = await asyncio.gather(*map(tried, some), return_exceptions=True)
            if faults := [each for each in made if isinstance(each, BaseException)]:
                raise faults[0]
            found += [each for each in made if isinstance(each, Outcome)]
        return found

    try:
        return await changes.search(document, case.outcome, steps, budget, outcomes)
    except EngineFault:
        return changes.SearchResult((), incomplete=True, evaluations=tries)
