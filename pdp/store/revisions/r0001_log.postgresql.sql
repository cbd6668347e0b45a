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
