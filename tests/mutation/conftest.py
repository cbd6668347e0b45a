"""Lets the tests of this folder import what the command is made of."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
