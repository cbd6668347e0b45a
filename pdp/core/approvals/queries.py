"""Queries for approvals, grants and consents. Empty fields do not narrow; lists are oldest first."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.approvals.rows import Account
from pdp.core.approvals.states import GrantState, State

_MISREAD = str.maketrans("018", "OIB")  # codes are base 32, which has none of these digits


def meant_code(typed: str) -> str:
    """A short code as typed, normalised: in any case, with or without its hyphen."""
    bare = typed.strip().replace("-", "").upper().translate(_MISREAD)
    return f"{bare[:2]}-{bare[2:]}" if bare else ""


@dataclass(frozen=True, slots=True)
class ApprovalQuery:
    """Requests of one tenant. `groups`: only those with a seat for one of these groups, or of `involved` as subject;
    None: the person may see all."""

    tenant: str
    states: frozenset[State] = frozenset()
    kinds: frozenset[str] = frozenset()
    server: str = ""
    tool: str = ""
    subject: Account | None = None
    subjects: tuple[Account, ...] | None = None  # any of them, or who has `subject_id` at any issuer
    subject_id: str = ""
    agent: str = ""
    short_code: str = ""
    groups: frozenset[str] | None = None
    involved: tuple[Account, ...] = ()
    opened_from_ns: int = 0
    opened_to_ns: int = 0
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class GrantQuery:
    """Grants of one tenant, narrowed like requests."""

    tenant: str
    states: frozenset[GrantState] = frozenset()
    server: str = ""
    tool: str = ""
    subject: Account | None = None
    groups: frozenset[str] | None = None
    involved: tuple[Account, ...] = ()
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class ConsentQuery:
    """Consents of one subject; a person sees only their own."""

    tenant: str
    subjects: tuple[Account, ...]  # the accounts of one human
    ended: bool = False  # also those that are over


@dataclass(frozen=True, slots=True)
class Page:
    """Start and length of a page. `after` is the id of the last row of the page before."""

    size: int = 50
    after: str = ""
