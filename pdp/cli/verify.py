"""`pdp tools verify`: what is wrong with a registry folder. Exit: 0 ok, 10 does not verify, 2 usage, 1 fault."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click
from rich.markup import escape

from pdp.cli.render.tables import page, table
from pdp.core.digest import Json
from pdp.core.errors import ConfigurationFault
from pdp.registry.change_summary import behaviour
from pdp.registry.keys import KeySet, SignerKey, read_public
from pdp.registry.options import SignerRole
from pdp.registry.verify import Report, verify_folder

NOT_VERIFIED = 10


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--key", "key_specs", multiple=True, required=True, help="author:FILE or reviewer:FILE; repeat.")
@click.option("--threshold", default=2, show_default=True, type=click.IntRange(2), help="Distinct keys needed.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def verify(folder: Path, key_specs: tuple[str, ...], threshold: int, as_json: bool) -> None:
    """Say what is wrong with the registry in FOLDER, where, and how to fix it."""
    found = KeySet(tuple(_key(spec) for spec in key_specs), threshold)
    report = verify_folder(folder, found, time.time_ns())
    if as_json:
        click.echo(json.dumps(_report_json(report), indent=2, ensure_ascii=False))
    else:
        _show_report(report)
    sys.exit(0 if report.ok else NOT_VERIFIED)


def _key(spec: str) -> SignerKey:
    role, _, name = spec.partition(":")
    roles: dict[str, SignerRole] = {"author": "author", "reviewer": "reviewer"}
    if role not in roles or not name:
        raise click.UsageError("--key is author:FILE or reviewer:FILE")
    path = Path(name)
    try:
        return SignerKey(path.name, roles[role], read_public(path, path.name))
    except ConfigurationFault as fault:
        raise click.UsageError(fault.message) from None


def _report_json(report: Report) -> Json:
    return {
        "ok": report.ok,
        "serial": report.index.serial if report.index is not None else None,
        "expires": report.index.expires if report.index is not None else None,
        "signers": list(report.signers),
        "problems": [{"where": p.where, "code": p.code, "what": p.what, "fix": p.fix} for p in report.problems],
        "notes": list(report.notes),
        "tools": [
            {"server": t.server, "name": t.name, "state": t.state, "code": t.code or "ok"} for t in report.tools
        ],
    }


def _show_report(report: Report) -> None:
    console = page()
    if report.index is not None:
        rows = []
        for line in report.tools:
            m = line.manifest
            said = (m.risk, behaviour(m)) if m is not None else ("?", "?")
            rows.append((line.server, line.name, line.state, *said, line.code or "yes"))
        console.print(table(("server", "tool", "state", "risk", "acts", "verifies"), rows, console.width))
        signers = ", ".join(report.signers) or "not by enough"
        console.print(f"Serial {report.index.serial}, expires {report.index.expires}, signed: {escape(signers)}.")
    for note in report.notes:
        console.print(f"Note: {escape(note)}.")
    for problem in report.problems:
        console.print(f"[bold]{escape(problem.where)}[/bold]: {escape(problem.what)} ({problem.code})")
        console.print(f"  to fix: {escape(problem.fix)}")
    console.print("Everything verifies." if report.ok else f"Problems: {len(report.problems)}.")
