"""Reading the log. An auditor sees the records of its own tenant; another's do not exist for it."""

from __future__ import annotations

from pdp.core.errors import NotFound
from pdp.core.request import Caller
from pdp.core.stored import StoredRecord
from pdp.ports import Store
from pdp.service.operations.admin import ANY_TENANT


class Records:
    """`AuditService.GetRecord`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, caller: Caller, *, decision_id: str = "", index: int | None = None) -> StoredRecord:
        """One record by decision id or index. Raises NotFound, in the same words for absent and another's."""
        store = self._store
        found = await store.read(lambda: store.record(decision_id) if index is None else store.record_at(index))
        # what belongs to no tenant (start, policy, configuration) concerns every auditor
        if found is None or (found.tenant and caller.tenant not in (ANY_TENANT, found.tenant)):
            raise NotFound("record.unknown", "There is no such record.")
        return found
