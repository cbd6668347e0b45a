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
