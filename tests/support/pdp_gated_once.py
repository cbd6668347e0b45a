"""`pdp`, whose load gate remembers what it said in this test run (gated.py): for servers that tests start in a
process of their own. Everything else is what `python -m pdp.cli.main` does."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

import support.gated  # noqa: E402, F401 - found there; before the command line takes the gate

from pdp.cli.main import main  # noqa: E402

sys.argv[0] = "pdp"
main()
