"""How often the authenticators of passkeys have signed."""

from __future__ import annotations

from alembic import op

from pdp.store.migrations.ddl import statements

revision = "0003"
down_revision = "0002"

TABLES = """
CREATE TABLE signatures (
  tenant TEXT NOT NULL,
  passkey_id TEXT NOT NULL,
  count {number} NOT NULL,
  at_ns {number} NOT NULL,
  PRIMARY KEY (tenant, passkey_id)
) {strict}
"""


def upgrade() -> None:
    """Make the table."""
    for statement in statements(TABLES, op.get_bind().dialect.name):
        op.execute(statement)
