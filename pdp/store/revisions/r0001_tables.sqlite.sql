CREATE TABLE refusals (
  tenant TEXT NOT NULL,
  caller TEXT NOT NULL,
  code TEXT NOT NULL,
  count {number} NOT NULL,
  PRIMARY KEY (tenant, caller, code)
) {keyed}

CREATE TRIGGER records_stay BEFORE DELETE ON records
  BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

-- Records below the mark `archived` may be emptied, and changed in nothing else.
CREATE TRIGGER records_stay_as_written BEFORE UPDATE ON records
  WHEN length(NEW.bytes) > 0 OR NEW.idx <> OLD.idx OR NEW.id <> OLD.id OR NEW.kind <> OLD.kind
    OR NEW.tenant <> OLD.tenant OR NEW.time_ns <> OLD.time_ns OR NEW.leaf <> OLD.leaf
    OR OLD.idx >= coalesce((SELECT value FROM high_water WHERE name = 'archived'), 0)
  BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
