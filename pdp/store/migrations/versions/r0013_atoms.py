"""What subjects and agents have seen, as keyed hashes; and whose each place is, for erasure."""

from __future__ import annotations

from alembic import op

from pdp.store.migrations.ddl import statements

revision = "0013"
down_revision = "0012"

TABLES = """
CREATE TABLE atoms (
  place TEXT NOT NULL, -- keyed indexes: a pair, or a memory
  session TEXT NOT NULL,
  atom {number} NOT NULL, -- a keyed hash
  decision_id TEXT NOT NULL,
  at_ns {number} NOT NULL,
  PRIMARY KEY (place, session, atom)
) {keyed}

CREATE TABLE places (
  place TEXT NOT NULL,
  session TEXT NOT NULL,
  subject TEXT NOT NULL,
  PRIMARY KEY (place, session)
) {keyed}

CREATE INDEX places_by_session ON places (session)

CREATE INDEX places_by_subject ON places (subject)
"""


def upgrade() -> None:
    """Make the tables."""
    for statement in statements(TABLES, op.get_bind().dialect.name):
        op.execute(statement)
