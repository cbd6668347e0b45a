"""`pdp policy replay` and `pdp policy diff`: recorded decisions under their own policy, and under others.

Exit codes: 0 the same, 10 something differs or was altered, 2 usage, 1 fault (nothing could be compared, too).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Container, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pdp import __version__
from pdp.cli.audit import bar, named
from pdp.cli.commands import IN_FOLDER, Command, Duration, engine_options
from pdp.cli.store_place import StorePlace, store_options
from pdp.core.check import NS
from pdp.core.outcome.forecast import DIFF_SCHEMA
from pdp.core.outcome.policy import Bundle
from pdp.core.text.safety import visible
from pdp.decide.replay import ALTERED, NOT_REPLAYABLE, NotReplayable, Opened
from pdp.policy.bundle import shipped_rego
from pdp.policy.source import Host
from pdp.runtime.environment import SystemEntropy
from pdp.store.reading import StoreReader
from pdp.tools.authoring.check import check_folder
from pdp.tools.authoring.policy_change import Rows, chosen, decisions, loaded, policies, replayed
from pdp.tools.authoring.policy_diff import KINDS, ChangedDecision, Comparison, difference

DIFFERS, FAULT = 10, 1
RECORDED = "recorded"
SHOWN = 40  # lines of changes
OF_ANOTHER_RELEASE = ("replay.release", "replay.engine", "replay.gate")  # what the release that wrote it may evaluate
_ROOM = 3  # names of rules on a line
_tenant = click.option("--tenant", default=None, help="Only the decisions of this tenant.")


@click.command(cls=Command)
@store_options
@click.option("--decision", "names", multiple=True, help="A decision by its id; may be given again.")
@click.option("--since", type=Duration("hd", "7d"), help="Instead: the last hours or days of the log, like 7d.")
@_tenant
@engine_options
def replay(
    *,
    store: StorePlace,
    names: tuple[str, ...],
    since: int | None,
    tenant: str | None,
    engine: str,
    opa: str | None,
    as_json: bool,
) -> None:
    """Evaluate recorded decisions of STORE again under their own policy, and say which come out otherwise.

    Reads only, while the service runs. What cannot be evaluated again is counted, with the reason.

    Exit codes: 0 all that could be evaluated is as recorded, 10 something is not, or was altered, 2 usage, 1 fault,
    or nothing could be evaluated.
    """
    if bool(names) == (since is not None):
        raise click.UsageError("Give either --decision or --since.")
    with store.reader() as reader, bar(reader.size() if since else len(names)) as progress:
        if since is not None:
            rows: Rows = reader.since(reader.newest_ns() - since * NS, ("decision",), progress)
        else:
            rows = [_decision(reader, name) for name in names]
        told, left_out, done = asyncio.run(_replayed(reader, _of(rows, tenant), chosen(engine, opa, SystemEntropy())))
        releases = _releases(reader, left_out)
    codes = Counter(code for code, _ in left_out)
    if as_json:
        found = {
            "schema": "pdp.policy-replay/1",
            "replayed": done,
            "differ": [{"decision": name, "difference": said} for name, said in told],
            "not_replayable": dict(sorted(codes.items())),
            "written_by": {code: sorted(names) for code, names in sorted(releases.items())},
        }
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo(f"replayed on {engine}: {done - len(told)} as recorded, {len(told)} otherwise")
        for name, said in told[:SHOWN]:
            click.echo(f"  {name}  {said}")
        _more(len(told))
        _left_out(codes, releases)
    sys.exit(_exit(done, bool(told), codes))


async def _replayed(
    reader: StoreReader, rows: Rows, host: Callable[[], Host]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]], int]:
    """What came out otherwise, code and boot of what could not be evaluated, and how many could."""
    told: list[tuple[str, str]] = []
    left_out: list[tuple[str, str]] = []
    done = 0
    async with policies(reader.artefact, host) as kept:
        async for record, said in replayed(decisions(rows), kept):
            if isinstance(said, NotReplayable):
                left_out.append((said.code, record["boot"]))
                continue
            done += 1
            if said:
                told.append((record["id"], said))
    return told, left_out, done


def _releases(reader: StoreReader, left_out: list[tuple[str, str]]) -> dict[str, set[str]]:
    """By code, the releases that wrote what may be for another release to evaluate."""
    boots = {code: {boot for each, boot in left_out if each == code} for code in OF_ANOTHER_RELEASE}
    if not any(boots.values()):
        return {}
    starts = (json.loads(record) for record, _ in reader.since(0, ("start",), lambda _: None))
    versions = {start["boot"]: str(start["version"]) for start in starts}
    found = {code: {versions[boot] for boot in those if boot in versions} for code, those in boots.items()}
    return {code: names for code, names in found.items() if names}


@click.command(cls=Command)
@click.argument("old")
@click.argument("new", type=IN_FOLDER)
@store_options
@click.option(
    "--since", type=Duration("hd", "7d"), default="7d", show_default=True, help="The log's last hours or days."
)
@_tenant
@click.option("--names", is_flag=True, help="Show subjects by name, where the store still has it.")
@engine_options
def diff(
    *,
    old: str,
    new: Path,
    store: StorePlace,
    since: int,
    tenant: str | None,
    names: bool,
    engine: str,
    opa: str | None,
    as_json: bool,
) -> None:
    """Say which recorded decisions NEW would answer otherwise than OLD, and how often it would ask people.

    OLD and NEW are folders of an organisation's policy; OLD may be the word `recorded`: what was answered then. Reads
    STORE only, while the service runs.

    The forecast is of votes a day for each group of approvers, by the calls of that time, and by how people answered
    and agents asked again.

    Exit codes: 0 the same answers, 10 some are others, or a record was altered, 2 usage, 1 fault, or there was
    nothing to compare.
    """
    bundles = (None if old == RECORDED else _bundle(Path(old)), _bundle(new))
    with store.reader() as reader, bar(reader.size()) as progress:
        rows = reader.since(reader.newest_ns() - since * NS, KINDS, progress)
        found = asyncio.run(_compared(_of(rows, tenant), bundles, chosen(engine, opa, SystemEntropy())))
        shown = {each.subject: str(named(each.subject, reader)) if names else each.subject for each in found.changed}
    digests = tuple(RECORDED if each is None else each.digest for each in bundles)
    if as_json:
        click.echo(json.dumps(_facts(found, digests, shown), indent=2))
    else:
        _print(found, digests, shown)
    sys.exit(_exit(found.compared, bool(found.changed), found.left_out))


async def _compared(rows: Rows, bundles: tuple[Bundle | None, Bundle], host: Callable[[], Host]) -> Comparison:
    old, new = bundles
    async with AsyncExitStack() as stack:
        before = None if old is None else await stack.enter_async_context(loaded(old, host))
        return await difference(rows, before, await stack.enter_async_context(loaded(new, host)))


def _bundle(folder: Path) -> Bundle:
    """The policy of a folder, which may become active."""
    if not folder.is_dir():
        raise click.UsageError(f"{folder.name}: is no folder of policy.")
    checked = check_folder(shipped_rego(), folder)
    if checked.bundle is None or not checked.report.ok:
        raise click.UsageError(f"{folder.name}: may not become active; `pdp policy check` says why.")
    return checked.bundle


def _decision(reader: StoreReader, name: str) -> tuple[bytes, Opened]:
    found = reader.decision(name)
    if found is None:
        raise click.ClickException(f"record.unknown: There is no such decision: {name}")
    return found


def _of(rows: Rows, tenant: str | None) -> Rows:
    return rows if tenant is None else (row for row in rows if json.loads(row[0])["tenant"] == tenant)


def _exit(done: int, differ: bool, left_out: Container[str]) -> int:
    if any(code in left_out for code in ALTERED):
        click.echo("something was altered since it was recorded", err=True)
        return DIFFERS
    if not done:
        click.echo("nothing could be evaluated, so nothing is known", err=True)
        return FAULT
    return DIFFERS if differ else 0


def _more(lines: int) -> None:
    if lines > SHOWN:
        click.echo(f"  and {lines - SHOWN} more; --json has all")


def _left_out(left_out: Counter[str], releases: Mapping[str, set[str]] | None = None) -> None:
    if left_out:
        click.echo(f"not evaluated: {left_out.total()}")
        for code, number in left_out.most_common():
            names = sorted((releases or {}).get(code, ()))
            writers = f" Written by pdp {', '.join(names)} (this is {__version__})." if names else ""
            click.echo(f"  {number}  {code}  {NOT_REPLAYABLE[code]}{writers}")


def _at(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // NS, UTC):%Y-%m-%d %H:%M}"


def _print(found: Comparison, digests: tuple[str, ...], subjects: Mapping[str, str]) -> None:
    click.echo(f"decisions  {found.decisions}, {_at(found.first_ns)} to {_at(found.last_ns)} UTC")
    click.echo(f"policy     {digests[0][:12]} -> {digests[1][:12]}")
    click.echo(f"changed    {len(found.changed)} of {found.compared} evaluated")
    groups: dict[tuple[str, ...], list[ChangedDecision]] = {}
    for each in found.changed:
        what = f"{each.before} -> {each.after}" if each.part == "effect" else f"{each.after}, other {each.part}"
        rules = ", ".join(each.rules[:_ROOM]) + (" ..." if len(each.rules) > _ROOM else "")
        groups.setdefault((what, rules, each.target, subjects[each.subject] or "(nobody)"), []).append(each)
    lines = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    for parts, those in lines[:SHOWN]:
        click.echo(f"  {len(those)}  {'  '.join(map(visible, parts))}  first {those[0].decision}")
    _more(len(lines))
    if found.judged:
        click.echo(
            f"judge      {found.judged} would wait for a judge that did not see them; what follows is not known"
        )
    _left_out(found.left_out)
    _print_forecast(found)


def _print_forecast(found: Comparison) -> None:
    new, old = found.after.groups, found.before.groups if found.before else {}
    if not new and not old and not found.asked:
        click.echo("votes      people are asked nothing")
        return
    click.echo("votes a day: asked then, forecast for OLD, forecast for NEW")
    for group in sorted({*new, *old, *found.asked}):
        then = "-" if found.before is None else f"{old[group].mean:.1f}" if group in old else "0.0"
        votes = new.get(group)
        said = f"{votes.mean:.1f} ({votes.low:.1f} to {votes.high:.1f})" if votes else "0.0"
        click.echo(f"  {group}  {found.asked[group] / found.days:.1f}  {then}  {said}")
    rests = found.after.settled_requests
    click.echo(
        f"  by how {rests} recorded requests went"
        if rests
        else "  no request was settled in that time: one is assumed for each call, and that it is approved"
    )


def _facts(found: Comparison, digests: tuple[str, ...], subjects: Mapping[str, str]) -> dict[str, Any]:
    return {
        "schema": DIFF_SCHEMA,
        "old": digests[0],
        "new": digests[1],
        "first_ns": found.first_ns,
        "last_ns": found.last_ns,
        "days": found.days,
        "compared": found.compared,
        "changed": [{**asdict(each), "subject": subjects[each.subject]} for each in found.changed],
        "judge": found.judged,
        "not_replayable": dict(sorted(found.left_out.items())),
        "votes_a_day": {
            "asked": {group: votes / found.days for group, votes in sorted(found.asked.items())},
            "old": None if found.before is None else asdict(found.before),
            "new": asdict(found.after),
        },
    }
