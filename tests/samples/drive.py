"""Serves a world with the sample features, and prints what they do; arguments: a folder, and the world's settings."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from click.testing import CliRunner
from support.waiting import until
from support.world import Plan, running

from pdp.cli.main import cli
from pdp.runtime import preflight
from pdp.runtime.config.settings import load
from pdp.runtime.telemetry.catalogue import INSTRUMENTS


async def drive(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    async with running(folder, Plan(settings=settings)) as world:
        background = world.process.background
        before = background.answers()
        background.work(0.01)
        await until(background.answers)
        levels = dict[str, float]()
        telemetry: Any = SimpleNamespace(level=lambda name, value, _of=None: levels.update({name: value}))
        for part in background.parts:
            part.level(telemetry, world.now_ns)
        token = folder / "token"
        token.write_text(world.sandbox.caller_token("operator", world.now_ns))
        at = {"PDPCTL_TARGET": world.sandbox.socket, "PDPCTL_CALLER_TOKEN_FILE": str(token)}
        said = await asyncio.to_thread(CliRunner().invoke, cli, ["tally", "--words"], env=at)
        refused = {"PDP_TALLY__FILE": str(folder / "none"), "PDP_TALLY__SECONDS": "1000000"}
        loaded = load(world.sandbox.config, refused, tolerant=True)
        gate = world.stage.environment().gate
        report = await asyncio.to_thread(preflight.check, loaded, world.now_ns, gate=gate)
        choices = preflight.choices(load(world.sandbox.config, {}))
        return {
            "before": before,
            "levels": {name: value > 0 for name, value in levels.items() if name in ("pdp.tally", "pdp.heartbeat")},
            "instruments": [each.name for each in INSTRUMENTS if each.name == "pdp.tally"],
            "command": [said.exit_code, said.output],
            "problems": [(each.code, each.path) for each in report.problems if each.path[0] == "tally"],
            "choices": [each.path for each in choices if each.path[0] == "tally"],
        }


sys.stdout.write(json.dumps(asyncio.run(drive(Path(sys.argv[1]), json.loads(sys.argv[2])))))
