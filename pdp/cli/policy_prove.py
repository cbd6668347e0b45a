"""`pdp policy prove`: whether a change of policy widens nothing, by a proof over all calls.

Exit codes: 0 proved, 10 widens, 11 not proved, 2 usage, 1 fault.
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

import click

from pdp.cli.commands import IN_FOLDER
from pdp.core.errors import BundleFault
from pdp.core.outcome.policy import Bundle
from pdp.policy.bundle import read_bundle, shipped_rego

_CODES = {"proved": 0, "widens": 10, "not proved": 11}
_EXTRA = "`pdp policy prove` needs z3-solver: pip install 'toolcall-pdp[prove]'."


@click.command()
@click.argument("old")
@click.argument("new", type=IN_FOLDER)
@click.option("--shipped", type=IN_FOLDER, default=None, help="NEW's shipped Rego, if not what comes with pdp.")
@click.option("--old-shipped", type=IN_FOLDER, default=None, help="OLD's shipped Rego, if not NEW's.")
@click.option("--deep", is_flag=True, help="Take up to five minutes, and look at longer arrays.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def prove(*, old: str, new: Path, shipped: Path | None, old_shipped: Path | None, deep: bool, as_json: bool) -> None:
    """Prove that NEW lets nothing through that OLD did not, or show a call that it does.

    OLD and NEW are folders of an organisation's policy; OLD may be a revision of git (main, HEAD~1): then it is NEW's
    folder as it was there. Every call that the input schema permits is looked at. A call that shows a widening is
    confirmed by the embedded engine before it is told.

    Exit codes: 0 proved, 10 widens, 11 not proved, 2 usage, 1 fault.
    """
    if importlib.util.find_spec("z3") is None:
        raise click.UsageError(_EXTRA)
    from pdp.tools.prove import words  # noqa: PLC0415  # an extra
    from pdp.tools.prove.proof import DEEP, Limits  # noqa: PLC0415
    from pdp.tools.prove.proof import prove as compare  # noqa: PLC0415

    ours = shipped or shipped_rego()
    with _folder(old, new) as before:
        bundles = _bundle(old_shipped or ours, before), _bundle(ours, new)
    proof = compare(*bundles, DEEP if deep else Limits())
    if as_json:
        click.echo(json.dumps(words.facts(proof), indent=2))
    else:
        for line in words.lines(proof):
            click.echo(line)
    sys.exit(_CODES[proof.verdict])


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
