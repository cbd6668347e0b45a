"""What processes of a store have in force, by part and tenant."""

from __future__ import annotations

from alembic import op

from pdp.store.migrations.ddl import statements

revision = "0007"
down_revision = "0006"

TABLES = """
CREATE TABLE in_force (
  part TEXT NOT NULL,
  tenant TEXT NOT NULL, -- empty: of all tenants
  digest TEXT NOT NULL,
  PRIMARY KEY (part, tenant)
) {keyed}
"""


def upgrade() -> None:
    """Make the table."""
    for statement in statements(TABLES, op.get_bind().dialect.name):
        op.execute(statement)
