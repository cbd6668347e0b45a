"""`pdp proxy --pin`: a person reads what a server offers and says what each tool, prompt and resource may do; then
it is signed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from pdp.core.bytes.digest import Json, digest
from pdp.core.call.methods import TARGET_KINDS
from pdp.core.text.injection.excerpt import visible
from pdp.local.installed import Answer, LocalInstallation, LocalServer, is_told
from pdp.registry.live import Definitions
from pdp.registry.manifest import Hints, without_meta, worse
from pdp.registry.scan import accept, folder
from pdp.registry.scan.finding import ScanFinding
from pdp.registry.scan.scan import ScannedTool, scan

_ANSWERS: Mapping[str, Answer] = {"r": "reads", "a": "asks", "n": "never"}
_SAID: Mapping[Answer, str] = {"reads": "goes through", "asks": "you are asked", "never": "refused"}
_READS = Hints(read_only=True, destructive=False, idempotent=True, open_world=False)
_SHORTEST = 3  # characters of a reason


def at_a_terminal() -> None:
    """Raises UsageError where nobody can read and answer."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("--pin shows you each tool and asks: run it yourself, at a terminal")


def pin(home: LocalInstallation, server: LocalServer, listed: Definitions) -> None:
    """Show what is new or changed, ask about each, sign what was answered. Ends the command when the person stops."""
    before = home.answers(server.id)
    others = [tool for tool in home.tools() if tool.server != server.id]
    offered = folder.definitions(server.id, listed.tools, listed.others)
    findings = scan([*others, *offered])
    answers: dict[str, Answer] = {}
    counts = ", ".join(f"{sum(each.kind == kind for each in offered)} {kind}s" for kind in TARGET_KINDS)
    click.echo(f"{server.id} lists {counts}. Its words are its own: judge by what a tool is for.")
    for number, each in enumerate(offered, 1):
        known = before.get(each.name)
        if known is not None and known[0] == digest(without_meta(each.definition)):
            answers[each.name] = known[1]
            continue
        click.echo(f"\n[{number}/{len(offered)}] " + ("changed since you read it" if known else "new"))
        _show(each, [one for one in findings if (one.server, one.tool) == (server.id, each.name)])
        answers[each.name] = _ask(each.definition)
    reasons = _reasons(home, server, findings, answers)
    findings = scan([*others, *(each for each in offered if answers[each.name] != "never")])
    reasons |= explained([one for one in open_findings(home, findings) if one.id not in reasons])
    _summary(server, offered, answers, [name for name in before if name not in answers])
    click.confirm("Sign this as read by you?", abort=True)
    accept_findings(home, findings, reasons)
    outward = {each.name for each in offered if server.online and is_told(each)}
    home.keep(server.id, offered, answers, outward, time.time_ns())
    home.startable(server)
    click.echo(f"Signed. {server.id} may be started now; what changes is refused until you pin again.")


def open_findings(home: LocalInstallation, findings: Sequence[ScanFinding]) -> tuple[ScanFinding, ...]:
    """Those that the scan finds grave, and nobody has accepted."""
    return accept.review(findings, accept.load(home.registry)).blocking


def _reasons(
    home: LocalInstallation, server: LocalServer, findings: Sequence[ScanFinding], answers: dict[str, Answer]
) -> dict[str, str]:
    """Why what the scan finds grave of the server is harmless, by id. A tool for which nobody says why is refused."""
    reasons: dict[str, str] = {}
    for one in open_findings(home, findings):
        if one.server != server.id or answers.get(one.tool) in (None, "never"):
            continue
        if reason := _reason(one, one.tool, "refuse the tool"):
            reasons[one.id] = reason
        else:
            answers[one.tool] = "never"
    return reasons


def explained(findings: Sequence[ScanFinding]) -> dict[str, str]:
    """Why each is harmless, by its id: of tools that were signed before, and are now like one that is offered. Ends
    the command where nobody says why."""
    reasons = {}
    for one in findings:
        if not (reason := _reason(one, f"{one.server}/{one.tool}", "sign nothing")):
            raise click.Abort
        reasons[one.id] = reason
    return reasons


def accept_findings(home: LocalInstallation, findings: Sequence[ScanFinding], reasons: Mapping[str, str]) -> None:
    """Accept those findings for which there is a reason."""
    for one in findings:
        if one.id in reasons:
            accept.accept(home.registry, findings, [one.id], reasons[one.id])


def _reason(one: ScanFinding, name: str, otherwise: str) -> str:
    """Why the finding is harmless; empty where nobody says."""
    click.secho(f"\n{_text(name)}: {one.code} at {_text(one.pointer)}: {one.excerpt}", fg="red")
    reason = click.prompt(f"  Why is that harmless? (empty: {otherwise})", default="", show_default=False).strip()
    return reason if len(reason) >= _SHORTEST else ""


def _ask(definition: Mapping[str, Json]) -> Answer:
    choice = click.prompt(
        "  (r) it only reads: goes through  (a) ask me each time  (n) never",
        type=click.Choice(list(_ANSWERS)),
        default="a",
        show_choices=False,
    )
    answer = _ANSWERS[choice]
    if answer == "reads" and not worse(_READS, definition).read_only:  # a server may raise what is said of it
        click.echo("  By its own word it changes something: you are asked.")
        return "asks"
    return answer


def _show(offered: ScannedTool, findings: Sequence[ScanFinding]) -> None:
    """All that the server says of a tool, a prompt or a resource, so that nothing acts on it unseen."""
    definition = offered.definition
    click.secho(f"  {_text(offered.name)}", bold=True)
    for key in ("title", "description"):
        if definition.get(key):
            click.echo(f"  {_text(definition[key])}")
    schema: Any = definition.get("inputSchema")
    properties: Any = schema.get("properties") if isinstance(schema, Mapping) else None
    for name, of in (properties if isinstance(properties, Mapping) else {}).items():
        click.echo(f"    {_text(name)}: {_text(json.dumps(of, ensure_ascii=False))}")
    shown = {"title", "description"} | ({"name", "inputSchema"} if offered.kind == "tool" else set())
    for key in sorted(definition.keys() - shown):
        click.echo(f"    {_text(key)}, in its own words: {_text(json.dumps(definition[key], ensure_ascii=False))}")
    for one in findings:
        click.secho(f"  ! {one.severity} {one.code} at {_text(one.pointer)}: {one.excerpt}", fg="red")
        click.echo(f"    {one.help}")


def _text(value: object) -> str:
    return visible(str(value))


def _summary(
    server: LocalServer, offered: Sequence[ScannedTool], answers: Mapping[str, Answer], gone: Sequence[str]
) -> None:
    click.echo("")
    for each in offered:
        leaves = answers[each.name] == "reads" and server.online and is_told(each)
        said = "you are asked: what it is told may leave this machine" if leaves else _SAID[answers[each.name]]
        click.echo(f"  {_text(each.name)}: {said}")
    for name in gone:
        click.echo(f"  {_text(name)}: not there any more")
    click.echo(f"Started in {server.folder}, which it may read unless your home lies in it.")
