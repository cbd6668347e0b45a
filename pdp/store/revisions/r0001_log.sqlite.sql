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
