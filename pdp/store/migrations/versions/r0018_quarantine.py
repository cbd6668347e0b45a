"""Switches of one more scope: tools in quarantine."""

from __future__ import annotations

from alembic import op

from pdp.store.migrations.ddl import statements

revision = "0018"
down_revision = "0017"

TABLES = """
ALTER TABLE switches RENAME TO switches_before

CREATE TABLE switches (
  tenant TEXT NOT NULL,
  scope TEXT NOT NULL CHECK (scope IN ('everything', 'tenant', 'server', 'tool', 'agent', 'subject', 'quarantine')),
  server TEXT NOT NULL,
  value TEXT NOT NULL,
  engaged {number} NOT NULL CHECK (engaged IN (0, 1)),
  reason TEXT NOT NULL,
  by TEXT NOT NULL,
  at_ns {number} NOT NULL,
  until_ns {number} NOT NULL,
  PRIMARY KEY (tenant, scope, server, value)
) {strict}

INSERT INTO switches (tenant, scope, server, value, engaged, reason, by, at_ns, until_ns)
SELECT tenant, scope, server, value, engaged, reason, by, at_ns, until_ns FROM switches_before

DROP TABLE switches_before
"""


def upgrade() -> None:
    """Make the table anew, with its rows."""
    for statement in statements(TABLES, op.get_bind().dialect.name):
        op.execute(statement)
