"""Tables for what people answer. A column is a field of the row's type in `core.approvals.rows`; the fields of an
account or call within it have its name in front (`subject_issuer`, `call_digest`). The migrations make them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, MetaData, Table, Text, TextClause, text

from pdp.core.approvals.states import GrantState, State
from pdp.store.people.columns import Accounts, Bytes, Flag, Integer, OneOf, Prose, Texts

metadata = MetaData()


# Partial indexes serve only queries that say the same words, so these are words and not bound values.
OPEN = text("state IN ('approved', 'pending')")
REDEEMED = text("state = 'redeemed'")
ACTIVE = text("state = 'active'")
IN_FORCE = text("ended_ns = 0")
UNKNOWN = text("outcome = 'unknown'")
UNDELIVERED = text("done_ns = 0")


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _prose(name: str) -> Column[str]:
    return Column(name, Prose, nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False)


def _bytes(name: str) -> Column[bytes]:
    return Column(name, Bytes, nullable=False)


def _account(name: str) -> tuple[Column[str], Column[str]]:
    return _text(f"{name}_issuer"), _text(f"{name}_id")


def _id(name: str = "id") -> Column[str]:
    return Column(name, Text, primary_key=True)


approvals = Table(
    "approvals",
    metadata,
    _id(),
    _text("tenant"),
    _text("index"),
    _text("kind"),
    Column("state", OneOf(State), nullable=False),
    _number("version"),
    _text("call_digest"),
    *_account("call_subject"),
    Column("call_actors", Accounts, nullable=False),
    _text("call_agent"),
    _text("call_caller"),
    _text("call_session"),
    _text("call_server"),
    _text("call_tool"),
    _text("call_manifest_sha256"),
    _bytes("requirement"),
    _text("title"),
    _text("risk"),
    _text("short_code"),
    _text("subject_index"),
    _text("decision_id"),
    _text("policy_revision"),
    _text("policy_digest"),
    _number("opened_ns"),
    _number("expires_ns"),
    _number("changed_ns"),
    _number("resolved_ns"),
    _text("resolution"),
    _text("redemption_id"),
    _text("redeemed_call"),
    Column("canary", Flag, nullable=False),
    _number("seq"),  # the number of its last change; grows over all requests
    sqlite_strict=True,
)

seats = Table(
    "seats",  # groups that have seats in a request's requirement, to find requests by
    metadata,
    _id("approval_id"),
    _id("group_id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

shown = Table(
    "shown",  # erasable
    metadata,
    _id("approval_id"),
    _text("tenant"),
    _text("subject_index"),
    _bytes("salt"),
    _bytes("arguments"),
    Column("secrets", Texts, nullable=False),
    _prose("task"),
    _text("task_source"),
    Column("effects", Texts, nullable=False),
    _prose("agent_name"),
    sqlite_strict=True,
)

votes = Table(
    "votes",
    metadata,
    _id(),
    _text("approval_id"),
    _text("tenant"),
    _text("human"),
    *_account("account"),
    _text("choice"),
    _prose("reason"),  # erasable
    _text("assurance"),
    Column("groups", Texts, nullable=False),
    Column("claimed", Texts, nullable=False),
    _text("surface"),
    _number("at_ns"),
    _text("presented"),
    _text("behalf"),
    _text("delegation"),
    _bytes("passkey"),
    _bytes("grant"),  # erasable
    _number("seq"),  # the request's version that it made: votes come in the order of commits, not of clocks
    sqlite_strict=True,
)

grants = Table(
    "grants",
    metadata,
    _id(),
    _text("tenant"),
    Column("state", OneOf(GrantState), nullable=False),
    _number("version"),
    *_account("subject"),
    _text("agent"),
    _text("caller"),
    _text("server"),
    _text("tool"),
    _text("manifest_sha256"),
    _bytes("requirement"),
    _bytes("arguments_schema"),  # erasable
    _text("session"),
    _number("uses"),
    _number("used"),
    _number("issued_ns"),
    _number("expires_ns"),
    _number("changed_ns"),
    _text("approval_id"),
    Column("issued_by", Texts, nullable=False),
    _text("subject_index"),
    _text("ended_by"),
    sqlite_strict=True,
)

consents = Table(
    "consents",
    metadata,
    _id(),
    _text("tenant"),
    _number("version"),
    *_account("subject"),
    _text("subject_index"),
    _text("agent"),
    _text("server"),
    _text("tool"),
    _text("scope"),
    _text("purpose"),
    _number("granted_ns"),
    _number("expires_ns"),
    _text("assurance"),
    _number("ended_ns"),
    _number("last_used_ns"),
    _text("approval_id"),
    sqlite_strict=True,
)

evidence = Table(
    "evidence",  # answers that are no person's
    metadata,
    _id("call_digest"),
    _id("requirement_sha256"),
    _text("tenant"),
    _text("kind"),
    _bytes("element"),
    _number("expires_ns"),
    _number("created_ns"),
    _text("redemption_id"),
    sqlite_strict=True,
)

delegations = Table(
    "delegations",
    metadata,
    _id(),
    _text("tenant"),
    _text("absent"),
    _text("deputy"),
    _number("from_ns"),
    _number("until_ns"),
    _prose("reason"),
    _number("ended_ns"),
    sqlite_strict=True,
)

seen = Table(
    "seen",
    metadata,
    _id("tenant"),
    _id("account_issuer"),
    _id("account_id"),
    _prose("name"),
    Column("groups", Texts, nullable=False),
    _number("at_ns"),
    sqlite_strict=True,
)

outcomes = Table(
    "outcomes",
    metadata,
    _id("decision_id"),
    _text("tenant"),
    _text("caller"),
    _text("call_digest"),
    _text("redemption_id"),
    _text("outcome"),
    _number("at_ns"),
    _text("record_id"),
    sqlite_strict=True,
)

notices = Table(
    "notices",
    metadata,
    _id(),
    _text("tenant"),
    _text("channel"),
    _text("event"),
    _text("approval_id"),
    _number("due_ns"),
    _number("attempts"),
    _number("done_ns"),
    _prose("problem"),
    sqlite_strict=True,
)

active_policy = Table(
    "active_policy",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),  # always 1
    _text("digest"),
    sqlite_strict=True,
)

high_water = Table(  # the store's marks, of which the people's instant is one
    "high_water",
    metadata,
    _id("name"),
    _number("value"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)


def _index(name: str, *columns: Column[Any], where: TextClause | None = None, unique: bool = False) -> None:
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


_index("approvals_by_index", approvals.c.tenant, approvals.c["index"], where=OPEN, unique=True)
_index("approvals_by_subject", approvals.c.tenant, approvals.c.subject_index, where=OPEN)
_index("approvals_open", approvals.c.tenant, approvals.c.id, where=OPEN)
_index("approvals_by_expiry", approvals.c.expires_ns, where=OPEN)
_index("approvals_by_call", approvals.c.tenant, approvals.c.call_digest, approvals.c.id)
_index("approvals_by_change", approvals.c.seq, unique=True)
_index("approvals_of_subject", approvals.c.tenant, approvals.c.call_subject_id, approvals.c.id)
_index("approvals_all", approvals.c.tenant, approvals.c.id)
_index(
    "approvals_redeemed",
    *(approvals.c[name] for name in ("tenant", "call_agent", "call_server", "call_tool", "seq")),
    where=REDEEMED,
)
_index("shown_by_subject", shown.c.tenant, shown.c.subject_index)
_index("seats_by_group", seats.c.group_id, seats.c.approval_id)
_index("votes_of_request", votes.c.approval_id, votes.c.seq, unique=True)
_index("grants_of_subject", grants.c.tenant, grants.c.subject_id, grants.c.id)
_index("grants_all", grants.c.tenant, grants.c.id)
_index("consents_of_subject", consents.c.tenant, consents.c.subject_id, consents.c.id)
_index("delegations_open", delegations.c.tenant, delegations.c.until_ns, where=IN_FORCE)
_index("outcomes_unknown", outcomes.c.call_digest, where=UNKNOWN)
_index("notices_due", notices.c.due_ns, where=UNDELIVERED)
