"""`pdp policy prove`: whether a change of policy widens nothing, and what a policy does, by proofs over all calls.

Exit codes: 0 proved or nothing found, 10 widens or found, 11 not proved, 2 usage, 1 fault.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click

from pdp.cli.commands import IN_FOLDER
from pdp.core.errors import BundleFault
from pdp.core.outcome.policy import Bundle
from pdp.policy.bundle import read_bundle, shipped_rego

_CODES = {"proved": 0, "widens": 10, "not proved": 11}
_EXTRA = "`pdp policy prove` needs z3-solver: pip install 'toolcall-pdp[prove]'."


@click.command()
@click.argument("folders", nargs=-1, required=True, metavar="[OLD] NEW")
@click.option("--within", default=None, metavar="MAX", help="Prove that NEW lets nothing through that MAX does not.")
@click.option("--shipped", type=IN_FOLDER, default=None, help="NEW's shipped Rego, if not what comes with pdp.")
@click.option("--old-shipped", type=IN_FOLDER, default=None, help="OLD's shipped Rego, if not NEW's.")
@click.option("--deep", is_flag=True, help="Take up to five minutes, and look at longer arrays.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def prove(
    *,
    folders: tuple[str, ...],
    within: str | None,
    shipped: Path | None,
    old_shipped: Path | None,
    deep: bool,
    as_json: bool,
) -> None:
    """Prove that NEW lets nothing through that OLD did not, or show a call; say who may call what.

    OLD and NEW are folders of an organisation's policy; OLD may be a revision of git (main, HEAD~1): then it is NEW's
    folder as it was there. Every call that the input schema permits is looked at. A call that shows a widening is
    confirmed by the embedded engine before it is told.

    With NEW alone: rules that never fire, grants that are always denied, rules that may end in an error, requirements
    that nobody can answer, and who may call what with whose consent. --within MAX takes for OLD a policy that says
    how far a team's may go.

    Exit codes: 0 proved (NEW alone: nothing found), 10 widens (found), 11 not proved, 2 usage, 1 fault.
    """
    if len(folders) + (within is not None) > 2:
        raise click.UsageError("Two policies are compared: OLD NEW, or NEW --within MAX.")
    if importlib.util.find_spec("z3") is None:
        raise click.UsageError(_EXTRA)
    new = Path(folders[-1])
    if not new.is_dir():
        raise click.UsageError(f"{folders[-1]}: is no folder.")
    old = within if within is not None else folders[0] if len(folders) > 1 else None
    ours = shipped or shipped_rego()
    if old is None:
        if old_shipped is not None:
            raise click.UsageError("--old-shipped is OLD's, and there is none.")
        _alone(_bundle(ours, new), deep=deep, as_json=as_json)
    with _folder(old, new) as before:
        bundles = _bundle(old_shipped or ours, before), _bundle(ours, new)
    _compared(*bundles, deep=deep, as_json=as_json)


def _compared(old: Bundle, new: Bundle, *, deep: bool, as_json: bool) -> NoReturn:
    from pdp.tools.prove import words  # noqa: PLC0415  # an extra
    from pdp.tools.prove.proof import DEEP, Limits  # noqa: PLC0415
    from pdp.tools.prove.proof import prove as compare  # noqa: PLC0415

    proof = compare(old, new, DEEP if deep else Limits())
    _print(words.facts(proof) if as_json else words.lines(proof))
    sys.exit(_CODES[proof.verdict])


def _alone(bundle: Bundle, *, deep: bool, as_json: bool) -> NoReturn:
    from pdp.tools.prove import words  # noqa: PLC0415  # an extra
    from pdp.tools.prove.overview import overview  # noqa: PLC0415
    from pdp.tools.prove.proof import DEEP, Limits  # noqa: PLC0415

    found = overview(bundle, DEEP if deep else Limits())
    _print(words.overview_facts(found) if as_json else words.overview_lines(found))
    sys.exit(_CODES[found.verdict])


def _print(report: dict[str, Any] | Iterator[str]) -> None:
    if isinstance(report, dict):
        click.echo(json.dumps(report, indent=2))
        return
    for line in report:
        click.echo(line)


def _bundle(shipped: Path, folder: Path) -> Bundle:
    try:
        return read_bundle(shipped, folder)
    except BundleFault as fault:
        raise click.UsageError(f"{folder.name}: {fault.message}") from None


@contextlib.contextmanager
def _folder(named: str, new: Path) -> Iterator[Path]:
    """The folder OLD; of a revision of git, for as long as it is read."""
    if Path(named).is_dir():
        yield Path(named)
        return
    git = ["git", "-C", str(new), "archive", "--format=tar", named, "."]
    done = subprocess.run(git, capture_output=True, check=False)  # the git of the PATH
    if named.startswith("-") or done.returncode != 0:
        raise click.UsageError(f"{named}: is neither a folder nor a revision that has {new.name}.")
    with tempfile.TemporaryDirectory(prefix="pdp-prove-") as folder:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder)
