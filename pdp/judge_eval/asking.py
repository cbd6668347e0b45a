"""Putting cases before a judge: each in a session of its own, many at once; what is known already is not asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pdp.core.judge.judge_input import Rendered
from pdp.core.judge.prompt import PromptSet
from pdp.core.judge.render import render
from pdp.judge_eval.cases import Case, matter
from pdp.judge_eval.cassette import Bench
from pdp.judge_eval.organisation import pinned
from pdp.judge_eval.results import Asked, Result, result
from pdp.ports import Entropy
from pdp.registry.review import Review

_NONCE_BYTES = 16
_TENANT = "eval"


@dataclass(frozen=True, slots=True)
class Question:
    """A case, ready to be asked."""

    case: Case
    asked: Asked
    rendered: Rendered


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Which prompt is asked of which model, and what a reviewer says of the tools (None: nobody did)."""

    prompts: PromptSet
    prompt: str
    model: str
    review: Review | None
    entropy: Entropy

    def question(self, case: Case) -> Question:
        """Raises UnknownPrompt."""
        nonce = self.entropy.bytes(_NONCE_BYTES).hex()
        rendered = render(self.prompts, self.prompt, matter(case, *pinned(case, self.review)), nonce)
        return Question(case, Asked(case.id, rendered.seen_sha256, self.model), rendered)


async def ask(
    questions: Sequence[Question],
    bench: Bench,
    known: Mapping[Asked, Result],
    told: Callable[[Result], None],
    *,
    at_once: int,
    within_s: float,
) -> dict[str, Result]:
    """Results by case id. `told` hears of each new one as soon as it is there. Raises what `bench` raises."""
    places = asyncio.Semaphore(at_once)

    async def one(question: Question) -> Result:
        if (before := known.get(question.asked)) is not None:
            return before
        async with places:
            found = result(question.asked, question.rendered, await bench.hold(_TENANT, question.rendered, within_s))
        told(found)
        return found

    tasks = [asyncio.create_task(one(question)) for question in questions]
    try:
        found = await asyncio.gather(*tasks)  # no group: what goes wrong is raised as it is
    finally:
        for task in tasks:
            task.cancel()
    return {question.case.id: each for question, each in zip(questions, found, strict=True)}
