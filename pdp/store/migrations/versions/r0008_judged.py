"""What the first stores with requests lack: revision 0002 was extended after it had been used, by what a judge's
answer rests on. Their answers have no basis, so none of them counts any more."""

from __future__ import annotations

from alembic import op
from sqlalchemy import inspect

from pdp.store.migrations.ddl import statements

revision = "0008"
down_revision = "0007"

COLUMNS = """
ALTER TABLE evidence ADD COLUMN basis TEXT NOT NULL DEFAULT ''

ALTER TABLE evidence ADD COLUMN asker TEXT NOT NULL DEFAULT ''

ALTER TABLE evidence ADD COLUMN refused {number} NOT NULL DEFAULT 0

ALTER TABLE evidence ADD COLUMN subject_index TEXT NOT NULL DEFAULT ''

ALTER TABLE evidence ADD COLUMN opinion {bytes} NOT NULL DEFAULT {nothing}

CREATE INDEX evidence_of_asker ON evidence (tenant, asker, created_ns)
"""
_NOTHING = {"sqlite": "x''", "postgresql": "''::bytea"}


def upgrade() -> None:
    """Add the columns where they are not there."""
    db = op.get_bind()
    if "basis" in {column["name"] for column in inspect(db).get_columns("evidence")}:
        return
    for statement in statements(COLUMNS.replace("{nothing}", _NOTHING[db.dialect.name]), db.dialect.name):
        op.execute(statement)
