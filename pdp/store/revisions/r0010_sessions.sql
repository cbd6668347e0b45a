-- Whose a session is, for as long as it may be used.
CREATE TABLE sessions (
  idx TEXT PRIMARY KEY,
  owner TEXT NOT NULL, -- both are keyed indexes
  until_ns {number} NOT NULL
) {keyed}

CREATE INDEX sessions_by_age ON sessions (until_ns)
