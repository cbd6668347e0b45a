"""What `pdp judge eval` asks: an endpoint or a tape, with a progress bar, and results kept as they come."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pdp.cli import judge_process
from pdp.config import settings
from pdp.core.errors import ConfigurationFault
from pdp.judge.options import JudgeOptions, Prices
from pdp.judge_eval.asking import Question, ask
from pdp.judge_eval.cassette import Bench, Player, Recorder, models_of
from pdp.judge_eval.results import Result, by_asked, line, mend, read_results
from pdp.secrets.options import VaultOptions

_AT_ONCE = 8
_TAPE_SECONDS = 60.0  # a tape needs none


@dataclass(frozen=True, slots=True)
class Run:
    """What is measured with: an endpoint (`source` is its options) or a tape (its file)."""

    model: str
    source: JudgeOptions | Path
    vault: VaultOptions | None = None
    record: Path | None = None


def run_of(given: Mapping[str, Any]) -> Run:
    """By the options of the command. Raises UsageError and ConfigurationFault."""
    if (tape := given["replay"]) is not None:
        if given["record"] is not None:
            raise click.UsageError("--record and --replay exclude each other")
        models = models_of(tape)
        model = given["model"] or (models[0] if len(models) == 1 else "")
        if model not in models:
            raise click.UsageError(f"--model: the tape is of {', '.join(models) or 'no model'}")
        return Run(model, tape)
    if given["config"] and (given["model"] or given["base_url"] or given["key"]):
        raise click.UsageError("--config names the endpoint; --model, --base-url and --key have no place beside it")
    options, vault = _configured(given["config"]) if given["config"] else (_options(given), None)
    changed = {"tenant_share": 1.0, "max_concurrent": given["concurrency"] or options.max_concurrent}
    options = options.model_copy(update=changed)
    return Run(options.model, options, vault, given["record"])


def _configured(path: Path) -> tuple[JudgeOptions, VaultOptions | None]:
    found = settings.load(path, os.environ)
    if found.judge is None:
        raise ConfigurationFault(
            "judge.absent", "The configuration has no section `judge`; add one, or give --model."
        )
    return found.judge, found.vault


def _options(given: Mapping[str, Any]) -> JudgeOptions:
    if not given["model"]:
        raise click.UsageError("give --config, --model or --replay")
    try:
        return JudgeOptions(
            endpoint=given["endpoint"],
            base_url=given["base_url"],
            model=given["model"],
            api=given["api"],
            answers=given["answers"],
            api_key=given["key"],
            max_concurrent=_AT_ONCE,
            prices=Prices(input_per_million=given["price_in"], output_per_million=given["price_out"]),
        )
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise click.UsageError(first["msg"].removeprefix("Value error, ")) from None


async def heard(run: Run, questions: Sequence[Question], results: Path | None) -> dict[str, Result]:
    """Results by case id; what stands in `results` is not asked again, and what is new is added there at once."""
    known = by_asked(read_results(results)) if results is not None else {}
    wanted = sum(question.asked not in known for question in questions)
    live = run.source if isinstance(run.source, JudgeOptions) else None
    at_once, within_s = (live.max_concurrent, live.verdict_seconds) if live else (_AT_ONCE, _TAPE_SECONDS)
    with ExitStack() as stack:
        if results is not None:
            mend(results)
        file = stack.enter_context(results.open("ab")) if results is not None else None
        progress = stack.enter_context(_progress())
        bar = progress.add_task("asking", total=wanted)

        def told(found: Result) -> None:
            if file is not None:
                file.write(line(found))
                file.flush()
            progress.advance(bar)

        async with _bench(run) as bench:
            return await ask(questions, bench, known, told, at_once=at_once, within_s=within_s)


def _progress() -> Progress:
    """On the terminal, and nothing where there is none."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


@asynccontextmanager
async def _bench(run: Run) -> AsyncIterator[Bench]:
    if isinstance(run.source, Path):
        yield Player(run.source, run.model)
        return
    model = judge_process.endpoint(run.source, run.vault)
    try:
        with ExitStack() as stack:
            bench: Bench = judge_process.sittings(run.source, model)
            if run.record is not None:
                bench = Recorder(bench, run.model, stack.enter_context(run.record.open("ab")))
            yield bench
    finally:
        await model.close()
