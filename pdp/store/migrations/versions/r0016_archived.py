"""Records below the mark `archived` may be emptied, and changed in nothing else."""

from __future__ import annotations

from alembic import op

from pdp.store.migrations.ddl import statements

revision = "0016"
down_revision = "0015"

OWN = {
    "sqlite": """
DROP TRIGGER records_stay_as_written

CREATE TRIGGER records_stay_as_written BEFORE UPDATE ON records
  WHEN length(NEW.bytes) > 0 OR NEW.idx <> OLD.idx OR NEW.id <> OLD.id OR NEW.kind <> OLD.kind
    OR NEW.tenant <> OLD.tenant OR NEW.time_ns <> OLD.time_ns OR NEW.leaf <> OLD.leaf
    OR OLD.idx >= coalesce((SELECT value FROM high_water WHERE name = 'archived'), 0)
  BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
""",
    "postgresql": """
CREATE OR REPLACE FUNCTION the_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN
    IF TG_OP = 'UPDATE' THEN
      IF length(NEW.bytes) = 0
        AND (NEW.idx, NEW.id, NEW.kind, NEW.tenant, NEW.time_ns, NEW.leaf)
          = (OLD.idx, OLD.id, OLD.kind, OLD.tenant, OLD.time_ns, OLD.leaf)
        AND OLD.idx < coalesce((SELECT value FROM high_water WHERE name = 'archived'), 0)
      THEN RETURN NEW; END IF;
    END IF;
    RAISE EXCEPTION 'the log is append-only' USING ERRCODE = 'integrity_constraint_violation';
  END $$
""",
}


def upgrade() -> None:
    """Exchange the triggers."""
    dialect = op.get_bind().dialect.name
    for statement in statements(OWN[dialect], dialect):
        op.execute(statement)
