"""`pdp judge eval`: how good a judge is. Exit: 0 measured, 10 beyond a bound, 11 the endpoint did not answer on some
cases, 1 fault, 2 usage."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console
from rich.table import Table

from pdp.cli.commands import OutFile
from pdp.cli.judge_run import heard, run_of
from pdp.core.judge.judge_input import OK
from pdp.judge.options import PRESETS, Answers, JudgeOptions
from pdp.judge.prompts import LoadedPrompts
from pdp.judge_eval import report
from pdp.judge_eval.asking import Inquiry
from pdp.judge_eval.cases import Cases, read_cases
from pdp.judge_eval.figures import MIN_CONFIDENCE, OUTCOMES
from pdp.judge_eval.page import page
from pdp.judge_eval.report import Report
from pdp.judge_eval.results import read_results
from pdp.registry.review import load_review
from pdp.runtime.environment import SystemEntropy

_LABELS = {"deny": "attack", "allow": "benign"}
BEYOND, UNHEARD = 10, 11
_In = click.Path(dir_okay=False, exists=True, path_type=Path)
_Out = OutFile()
_Folder = click.Path(exists=True, file_okay=False, path_type=Path)
_Share = click.FloatRange(0, 1)


@click.command("eval")
@click.argument("file", type=_In)
@click.option("--config", type=_In, help="Take the endpoint of this configuration's section `judge`.")
@click.option("--endpoint", type=click.Choice(tuple(PRESETS)), default="compatible", show_default=True)
@click.option("--base-url", default="", help="Where the API lies.")
@click.option("--model", default="", help="The model; with --replay only needed for a tape of several.")
@click.option("--api", type=click.Choice(("chat", "responses")), default="chat", show_default=True)
@click.option("--answers", type=click.Choice(get_args(Answers)), help="How the endpoint is held to the form.")
@click.option("--key", default="", help="file:PATH or vault:PATH#KEY (vault: with --config).")
@click.option("--price-in", type=click.FloatRange(0), default=0.0, help="For a million tokens that are read.")
@click.option("--price-out", type=click.FloatRange(0), default=0.0, help="For a million tokens that are written.")
@click.option("--concurrency", type=click.IntRange(1, 256), help="Sessions at once; 8, or as the configuration says.")
@click.option("--prompt", default="task-fit", show_default=True, help="Which prompt.")
@click.option("--prompts", type=_Folder, help="Your own prompts and sections.")
@click.option("--shipped", type=_Folder, help="Other prompts than those that come with pdp.")
@click.option("--review", "review_file", type=_In, help="What a reviewer says of the tools; it chooses sections.")
@click.option("--limit", type=click.IntRange(1), help="Only so many cases, from the top.")
@click.option("--results", type=_Out, help="Keep results here as they come, and go on from what is there.")
@click.option("--record", type=_Out, help="Keep what the endpoint answers, for --replay.")
@click.option("--replay", type=_In, help="Ask this tape instead of an endpoint.")
@click.option("--compare", type=_In, help="The results file of another run over these cases.")
@click.option("--exposure", "leaning", type=_In, help="What `pdp judge exposure --json` wrote.")
@click.option("--min-confidence", type=_Share, default=MIN_CONFIDENCE, show_default=True, help="Of an allow.")
@click.option("--worst", type=click.IntRange(0), default=20, show_default=True, help="Worst cases in the report.")
@click.option("--json", "as_json", type=_Out, help="Write the report to FILE.")
@click.option("--html", "as_html", type=_Out, help="Write a page to FILE.")
@click.option("--attacks-at-most", type=_Share, help="Exit 10 when a larger share of attacks is let through.")
@click.option("--denied-at-most", type=_Share, help="Exit 10 when a larger share of benign calls is denied.")
def evaluate(**given: Any) -> None:
    """Ask a judge about every labelled case of FILE, and say how good it is.

    It is shown what a decision shows of such a call, made by the same code: task, agent, server, tool, arguments,
    labels of the session and what was read last, and never label, note, risk or source. Each case is a session of its
    own, as in a decision. With --results a run that was ended goes on where it was.

    \b
    pdp judge eval cases.jsonl --config pdp.yaml --results run.jsonl --html run.html
    pdp judge eval cases.jsonl --endpoint ollama --model qwen3 --results other.jsonl --compare run.jsonl

    Exit codes: 0 measured, 10 beyond --attacks-at-most or --denied-at-most, 11 the endpoint did not answer on some
    cases (the next run asks again), 1 fault, 2 usage.
    """
    run, least = run_of(given), given["min_confidence"]
    cases = read_cases(given["file"])
    chosen = Cases(cases.name, cases.sha256, cases.all[: given["limit"]])
    other = report.other_run(chosen, read_results(given["compare"]), least) if given["compare"] else ()
    leaning = report.read_leaning(given["leaning"], cases) if given["leaning"] else None
    prompts = LoadedPrompts(given["prompts"], given["shipped"]).current
    review = load_review(given["review_file"]) if given["review_file"] else None
    inquiry = Inquiry(prompts, given["prompt"], run.model, review, SystemEntropy())
    questions = [inquiry.question(case) for case in chosen.all]
    found = asyncio.run(heard(run, questions, given["results"]))
    made = Report(
        cases=chosen,
        prompt=given["prompt"],
        prompt_sha256=prompts.digests()[given["prompt"]],
        model=run.model,
        judged=report.judged(chosen, found, least),
        min_confidence=least,
        most=given["worst"],
        other=other,
        leaning=leaning,
    )
    fact = made.fact()
    if given["as_json"] is not None:
        given["as_json"].write_text(json.dumps(fact, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if given["as_html"] is not None:
        given["as_html"].write_text(page(fact), encoding="utf-8")
    _show(fact)
    if made.unheard and isinstance(run.source, JudgeOptions):
        click.echo(
            f"Does an endpoint run, and does it answer at {run.source.url}? The next run asks again.", err=True
        )
    sys.exit(_code(made, given["attacks_at_most"], given["denied_at_most"]))


def _show(fact: Mapping[str, Any]) -> None:
    cases, console = fact["cases"], Console(width=None if sys.stdout.isatty() else 120)
    click.echo(
        f"{cases['count']} cases: {cases['attacks']} attacks ({cases['attackers_calls']} different calls), "
        f"{cases['benign']} benign ({cases['tasks']} tasks); {fact['unheard']} without an answer of the endpoint"
    )
    verdicts = Table("", *OUTCOMES)
    for label, counts in fact["confusion"].items():
        verdicts.add_row(_LABELS[label], *(str(counts[outcome]) for outcome in OUTCOMES))
    console.print(verdicts)
    for name, share in fact["shares"].items():
        if share["total"]:
            click.echo(
                f"{name.replace('_', ' ')}: {share['share']:.1%} ({share['hits']} of {share['total']}; "
                f"95 %: {share['low']:.1%} to {share['high']:.1%})"
            )
    effort = fact["effort"]
    ece = fact["calibration"]["ece"]
    click.echo(
        f"calibration error {'-' if ece is None else f'{ece:.3f}'}; latency p50 {effort['latency_ms']['p50']:g} ms; "
        f"tokens {effort['tokens']['in']} in, {effort['tokens']['out']} out; cost {effort['cost']:g}"
    )
    if set(effort["statuses"]) - {OK}:
        answers = ", ".join(f"{status} {count}" for status, count in effort["statuses"].items())
        click.echo(f"answers: {answers} (docs/judge.md tells what each means)")
    _show_beside(fact)


def _show_beside(fact: Mapping[str, Any]) -> None:
    """What else was measured: with the policy, and against another run."""
    if fact["exposure"]:
        with_judge = fact["exposure"]["with_this_judge"]["attacks_let_through"]
        click.echo(f"attacks let through by policy and judge together: {with_judge['hits']} of {with_judge['total']}")
    if fact["comparison"]:
        for name, each in fact["comparison"]["figures"].items():
            if each is not None:
                click.echo(
                    f"{name.replace('_', ' ')}, compared: {each['difference']:+.1%} "
                    f"(95 %: {each['low']:+.1%} to {each['high']:+.1%}; p {each['p']:.3f})"
                )


def _code(made: Report, attacks_at_most: float | None, denied_at_most: float | None) -> int:
    bounds = {"attacks_let_through": attacks_at_most, "benign_denied": denied_at_most}
    for name, bound in bounds.items():
        value = made.share(name).value
        if bound is not None and value is not None and value > bound:
            return BEYOND
    return UNHEARD if made.unheard else 0
