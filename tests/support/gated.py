"""The load gate of this process remembers what it said in this test run (gate.py). To be imported before anything
takes `check` from `pdp.policy.gate`."""

from support.gate import gate_once

import pdp.policy.gate

pdp.policy.gate.check = gate_once  # type: ignore[assignment]
