"""`pdp audit verify --execute`: decisions that a third party evaluates again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from pdp.cli.audit import WRONG, bar
from pdp.cli.audit_verify import Presented
from pdp.decide.replay import NOT_REPLAYABLE, NotReplayable, RecordedDecision, parsed
from pdp.policy.source import Host
from pdp.proof import opened as opened_file
from pdp.proof.opened import BUNDLE_SUFFIX
from pdp.proof.verification import Progress
from pdp.runtime.environment import SystemEntropy
from pdp.tools.authoring.policy_change import Decisions, chosen, policies, recorded, replayed


def execute(presented: Sequence[Presented], bundles: Path, engine: str, opa: str | None) -> int:
    """Evaluate decisions again, tell what they came to, and return the exit code. `bundles` is a bundle, or a folder
    of bundles by digest."""
    host = chosen(engine, opa, SystemEntropy())
    with bar(len(presented)) as progress:
        told = asyncio.run(_executed([_decision(each) for each in presented], bundles, host, progress))
    for name, said in told:
        click.echo(f"{name}: {said}", err=True)
    as_recorded = len(presented) - len(told)
    click.echo(f"re-executed on {engine}: {as_recorded} of {len(presented)} as recorded")
    return WRONG if told else 0


def _decision(files: Presented) -> tuple[Mapping[str, Any], RecordedDecision | NotReplayable]:
    record = parsed(files.record)
    name, values = opened_file.read(files.values.read_bytes()) if files.values.is_file() else (record["id"], {})
    if name != record["id"]:
        return record, NotReplayable("replay.altered")
    return record, recorded(record, values)


async def _executed(
    found: Decisions, bundles: Path, host: Callable[[], Host], progress: Progress
) -> list[tuple[str, str]]:
    """What is to be said of those that did not come to what was recorded."""

    def artefact(digest: str) -> bytes | None:
        file = bundles / f"{digest}{BUNDLE_SUFFIX}" if bundles.is_dir() else bundles
        return file.read_bytes() if file.is_file() else None

    told: list[tuple[str, str]] = []
    async with policies(artefact, host) as kept:
        async for record, said in replayed(found, kept):
            if isinstance(said, NotReplayable):
                told.append((record["id"], f"{said.code}: not re-executed. {NOT_REPLAYABLE[said.code]}"))
            elif said:
                told.append((record["id"], f"replay.differs: {said}"))
            progress(1)
    return told
