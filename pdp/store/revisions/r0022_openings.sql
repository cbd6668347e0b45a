-- Sessions of whose end no record tells yet, and from when on each may be over by time.
CREATE TABLE openings (
  idx TEXT NOT NULL, -- the session's keyed index
  opened_ns {number} NOT NULL,
  tenant TEXT NOT NULL,
  caller TEXT NOT NULL,
  session TEXT NOT NULL, -- as records name it
  due_ns {number} NOT NULL,
  PRIMARY KEY (idx, opened_ns)
) {keyed}

CREATE INDEX openings_by_age ON openings (due_ns)
