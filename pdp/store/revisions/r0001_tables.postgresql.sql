-- Records below the mark `archived` may be emptied, and changed in nothing else.
CREATE FUNCTION the_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
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
