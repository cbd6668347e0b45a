"""The directory: people and groups by tenant, read from files and kept as they last were good.

A file is YAML or JSON, and closed:

    people:
      - id: p-anna                  # stable, ours; never used again for somebody else
        name: Anna Novak
        mail: anna@acme.example     # for messages; may be left out
        accounts:                   # all of them are one human
          - {issuer: https://id.acme.example, id: anna}
        groups: [g-release]         # ids
        active: true
    groups:
      g-release: Release managers   # id to a name, for display only
"""

from __future__ import annotations

from pdp.approvals.options import DirectoryOptions
from pdp.core.approvals.people import Directory, DirectoryChange


class LoadedDirectories:
    """Implements `ports.Directories`. A tenant whose files were never good has nobody in it."""

    def __init__(self, options: DirectoryOptions) -> None:
        self._options = options

    def of(self, tenant: str) -> Directory:
        """As loaded now; empty for a tenant without one."""
        raise NotImplementedError

    async def reload(self, at_ns: int) -> tuple[DirectoryChange, ...]:
        """Look at the files again; returns what changed, per tenant. Never raises: what cannot be read keeps the
        last good one, and is reported when its problem is a new one."""
        raise NotImplementedError
