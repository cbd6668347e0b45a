"""Grants as people see them: whose calls go through without asking, until when, and how to end that."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.approvals.people import Person
from pdp.core.approvals.queries import Page
from pdp.core.approvals.rows import Account, Grant
from pdp.core.approvals.states import GrantState
from pdp.core.stored import RecordRef


@dataclass(frozen=True, slots=True)
class GrantFilter:
    """What is listed. Empty fields do not narrow, but for `states`: the active ones."""

    states: frozenset[GrantState] = frozenset({GrantState.ACTIVE})
    server: str = ""
    tool: str = ""
    subject: Account | None = None


class Grants:
    """`ApprovalService.ListGrants` and `RevokeGrant`. Subjects see their own, approvers those that they could have
    voted for, operators and auditors all."""

    async def list(self, person: Person, wanted: GrantFilter, page: Page) -> tuple[tuple[Grant, ...], str]:
        """A page, newest first, and the `after` of the next; "" on the last. A grant whose time is over reads as
        expired, whatever the store has noted so far."""
        raise NotImplementedError

    async def revoke(
        self, person: Person, grant_id: str, reason: str, request_id: str = ""
    ) -> tuple[Grant, RecordRef]:
        """End a grant at once. Raises NotFound, Forbidden `grant.not_yours`, Outdated `grant.ended`."""
        raise NotImplementedError
