"""`pdp judge serve` run by an operator, what is told to telemetry, and what a start looks at before."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from support import llm as model
from support.judge_prompts import SECTION
from support.judging import PROMPT, judging, matter
from support.llm import LlmStandIn
from support.world import WEDNESDAY_NS, Plan, create
from typing_extensions import override

from pdp.cli.main import cli
from pdp.core.errors import ConfigurationFault
from pdp.core.ports.telemetry import NONE, SILENT, Attributes, Silent, Telemetry
from pdp.judge.client import JudgeClient
from pdp.runtime import background, judge, preflight
from pdp.runtime.config import settings
from pdp.runtime.environment import Environment


def configured(llm: LlmStandIn, folder: Path, **over: Any) -> Path:
    """A configuration with a judge."""
    plan = Plan(settings={"judge": llm.judge(folder, **over)})
    return create(folder / "w", plan, WEDNESDAY_NS).config


def wired(config: Path, telemetry: Telemetry = SILENT) -> JudgeClient:
    loaded = settings.load(config, {})
    assert loaded.judge is not None
    return judge.wire_judge(loaded, loaded.judge, Environment(monotonic=lambda: 0), telemetry)


@asynccontextmanager
async def linked(config: Path, telemetry: Telemetry = SILENT) -> AsyncIterator[JudgeClient]:
    """As `pdp serve` wires it."""
    found = wired(config, telemetry)
    found.begin()
    try:
        yield found
    finally:
        await found.close()


async def opinion(link: JudgeClient) -> str:
    return (await link.opine("acme", "alice", "task-fit", matter(), within_s=60)).status


async def test_a_judge_that_an_operator_runs_is_found_at_its_address(llm: LlmStandIn, tmp_path: Path) -> None:
    config = configured(llm, tmp_path, address=f"unix:{tmp_path / 'own' / 's'}")
    command = [sys.executable, "-m", "pdp.cli.main", "judge", "serve", "--config", str(config)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n"
        told = Told()
        async with linked(config, told) as link:
            assert await opinion(link) == "ok"
            assert told.levels == [("pdp.judge.up", 0), ("pdp.judge.up", 1)]
            assert (link.status()["process"], link.status()["pid"]) == ("up", None)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 60) == 0
            llm.forget()
            later = await link.opine("acme", "alice", "task-fit", matter("Another."), within_s=1)
            assert later.status == "unavailable"
            assert told.levels[-1] == ("pdp.judge.up", 0)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_while_nobody_listens_there_the_judge_is_away(llm: LlmStandIn, tmp_path: Path) -> None:
    async with linked(configured(llm, tmp_path, address=f"unix:{tmp_path / 's'}")) as link:
        assert await opinion(link) == "unavailable"
        assert link.status()["process"] == "away"


def test_without_an_address_there_is_nothing_to_serve_at(llm: LlmStandIn, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["judge", "serve", "--config", str(configured(llm, tmp_path))])
    assert isinstance(done.exception, ConfigurationFault)
    assert done.exception.code == "judge.address"


def problems(config: Path) -> dict[str, str]:
    found = preflight.check(settings.load(config, {}), WEDNESDAY_NS)
    return {p.code: f"{'.'.join(p.path)}: {p.message}" for p in found.problems}


def test_a_start_that_would_find_no_key_or_no_good_prompts_is_told_before(llm: LlmStandIn, tmp_path: Path) -> None:
    config = configured(llm, tmp_path)
    assert problems(config) == {}
    (tmp_path / "judge.key").chmod(0o644)
    assert "judge.api_key: judge.key: others may read it" in problems(config)["config.secret"]
    (tmp_path / "judge.key").chmod(0o600)
    (tmp_path / "judge.key").write_text("two\nlines")
    assert "one line of ASCII" in problems(config)["judge.api_key"]
    (tmp_path / "judge.key").write_text("one")
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "mine.md").write_text("no head")
    found = yaml.safe_load(config.read_text())
    found["judge"]["prompts_folder"] = str(tmp_path / "prompts")
    config.write_text(yaml.safe_dump(found))
    assert "mine.md:1" in problems(config)["judge.prompts"]


class Told(Silent):
    """Keeps what telemetry is told."""

    def __init__(self) -> None:
        self.counted: Counter[tuple[Any, ...]] = Counter()
        self.measured: dict[str, list[float]] = {}
        self.levels: list[tuple[str, float]] = []

    @override
    def count(self, name: str, attributes: Attributes = NONE) -> None:
        self.counted[name, *attributes.values()] += 1

    @override
    def level(self, name: str, value: float, attributes: Attributes = NONE) -> None:
        self.levels.append((name, value))

    @override
    def measure(self, name: str, value: float, attributes: Attributes = NONE) -> None:
        self.measured.setdefault("/".join((name, *map(str, attributes.values()))), []).append(value)


async def test_time_tokens_cost_and_what_came_of_it_are_told(llm: LlmStandIn, tmp_path: Path) -> None:
    told = Told()
    prices = {"input_per_million": 10.0, "output_per_million": 100.0}
    async with judging(llm, tmp_path, telemetry=told, prices=prices) as link:
        for task in ("One.", "One.", "Two."):
            await link.opine("acme", "alice", PROMPT, matter(task), within_s=60)
            llm.behave(model.refuses())
    assert told.counted == {
        ("pdp.judge.opinions", "ok", "allow", False): 1,
        ("pdp.judge.opinions", "ok", "allow", True): 1,
        ("pdp.judge.opinions", "refused", "none", False): 1,
    }
    assert told.measured["pdp.judge.tokens/input"] == [900, 900]
    assert told.measured["pdp.judge.tokens/output"] == [60, 60]
    assert told.measured["pdp.judge.cost"] == pytest.approx([0.015, 0.015])
    assert len(told.measured["pdp.judge.duration/ok"]) == 2


async def test_prompts_that_change_are_used_and_those_that_are_broken_are_not(
    llm: LlmStandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "prompts"
    (folder / "sections").mkdir(parents=True)
    link = wired(configured(llm, tmp_path, prompts_folder=str(folder)))
    first = link.prompts()["task-fit"]
    caplog.set_level("INFO", "pdp")
    watch = asyncio.create_task(background.watch_prompts(link, 0.01))
    try:
        (folder / "sections" / "crm.md").write_text(SECTION.replace("`task.unrelated`", "`crm.other`"))
        await until(lambda: link.prompts()["task-fit"] != first)
        good = link.prompts()["task-fit"]
        (folder / "sections" / "crm.md").write_text("no head")
        await until(lambda: "crm.md:1: has no head" in caplog.text)
        assert link.prompts()["task-fit"] == good
        (folder / "sections" / "crm.md").unlink()
        await until(lambda: link.prompts()["task-fit"] == first)
        await until(lambda: "judge prompts: recovered" in caplog.text)
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await link.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not condition():  # noqa: ASYNC110 - a watcher brings it about
            await asyncio.sleep(0.01)
