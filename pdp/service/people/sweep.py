"""Writing down what time and switches have already decided: expiry, and requests that nobody may use any more."""

from __future__ import annotations


class Sweep:
    """Run once a second by whoever tends the process. What it has not swept yet counts as over all the same."""

    async def run_once(self, at_ns: int) -> int:
        """Move what is over to EXPIRED, and cancel requests whose subject is disabled or whose tenant, server, tool,
        agent or subject is switched off. Returns how many moved."""
        raise NotImplementedError
