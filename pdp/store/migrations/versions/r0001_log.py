"""The log, what is kept beside it, and the switches."""

from __future__ import annotations

from alembic import op

from pdp.store.migrations.ddl import statements

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value {bytes} NOT NULL) {keyed}

CREATE TABLE records (
  idx {number} PRIMARY KEY CHECK (idx >= 0),
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  tenant TEXT NOT NULL,
  time_ns {number} NOT NULL,
  leaf {bytes} NOT NULL CHECK (length(leaf) = 32),
  bytes {bytes} NOT NULL CHECK (length(bytes) <= 60000)
) {strict}

CREATE TABLE "values" (
  seq {number} PRIMARY KEY, -- 16 * the record's index, plus its place among the record's values
  path TEXT NOT NULL,
  tenant TEXT NOT NULL,
  subject TEXT NOT NULL,
  salt {bytes} NOT NULL,
  data {bytes} NOT NULL
) {strict}

CREATE INDEX values_by_subject ON "values" (subject) WHERE subject <> ''

CREATE TABLE calls (
  seq {serial}, -- in order of age
  idx TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  subject TEXT NOT NULL,
  salt {bytes} NOT NULL,
  digest TEXT NOT NULL,
  created_ns {number} NOT NULL
) {strict}

CREATE INDEX calls_by_subject ON calls (subject) WHERE subject <> ''

CREATE TABLE replies (
  seq {serial}, -- in order of age: a newer answer moves to the end
  key TEXT NOT NULL UNIQUE,
  content TEXT NOT NULL,
  kind TEXT NOT NULL,
  effect TEXT NOT NULL,
  reply {bytes} NOT NULL,
  epochs TEXT NOT NULL,
  valid_until_ns {number} NOT NULL,
  created_ns {number} NOT NULL
) {strict}

CREATE TABLE artefacts (digest TEXT PRIMARY KEY, kind TEXT NOT NULL, data {bytes} NOT NULL) {strict}

CREATE TABLE switches (
  tenant TEXT NOT NULL,
  scope TEXT NOT NULL CHECK (scope IN ('everything', 'tenant', 'server', 'tool', 'agent', 'subject')),
  server TEXT NOT NULL,
  value TEXT NOT NULL,
  engaged {number} NOT NULL CHECK (engaged IN (0, 1)),
  reason TEXT NOT NULL,
  by TEXT NOT NULL,
  at_ns {number} NOT NULL,
  until_ns {number} NOT NULL,
  PRIMARY KEY (tenant, scope, server, value)
) {strict}

CREATE TABLE high_water (name TEXT PRIMARY KEY, value {number} NOT NULL) {keyed}
"""

# The log cannot be changed, and what one database alone needs: SQLite keeps counts of refusals over a crash,
# PostgreSQL has a row that who writes locks, and who is running.
OWN = {
    "sqlite": """
CREATE TABLE refusals (
  tenant TEXT NOT NULL,
  caller TEXT NOT NULL,
  code TEXT NOT NULL,
  count {number} NOT NULL,
  PRIMARY KEY (tenant, caller, code)
) {keyed}

CREATE TRIGGER records_stay_as_written BEFORE UPDATE ON records
  BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

CREATE TRIGGER records_stay BEFORE DELETE ON records
  BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
""",
    "postgresql": """
CREATE FUNCTION the_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'the log is append-only' USING ERRCODE = 'integrity_constraint_violation'; END $$

CREATE TRIGGER records_stay BEFORE UPDATE OR DELETE ON records
  FOR EACH ROW EXECUTE FUNCTION the_log_is_append_only()

CREATE TRIGGER records_are_not_emptied BEFORE TRUNCATE ON records
  FOR EACH STATEMENT EXECUTE FUNCTION the_log_is_append_only()

CREATE TABLE head (
  one {number} PRIMARY KEY CHECK (one = 1),
  size {number} NOT NULL,
  changes {number} NOT NULL -- of switches and marks
)

INSERT INTO head VALUES (1, 0, 0)

CREATE TABLE runs (boot TEXT PRIMARY KEY)
""",
}


def upgrade() -> None:
    """Make the tables."""
    dialect = op.get_bind().dialect.name
    for statement in (*statements(TABLES, dialect), *statements(OWN[dialect], dialect)):
        op.execute(statement)
