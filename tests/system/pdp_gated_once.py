"""`pdp`, whose load gate remembers what it said in this test run (support/gate.py): for servers that tests start in a
process of their own. Everything else is what `python -m pdp.cli.main` does."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from support.gate import gate_once  # noqa: E402 - found there

import pdp.policy.gate  # noqa: E402

pdp.policy.gate.check = gate_once  # type: ignore[assignment] # before anything takes it from there

from pdp.cli.main import main  # noqa: E402

main()
