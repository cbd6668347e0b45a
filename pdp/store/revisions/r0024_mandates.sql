-- What one task may do, for as long as its session goes on.
CREATE TABLE mandates (
  id TEXT NOT NULL PRIMARY KEY,
  tenant TEXT NOT NULL,
  session TEXT NOT NULL, -- a keyed index
  subject_index TEXT NOT NULL,
  state TEXT NOT NULL,
  version {number} NOT NULL,
  document TEXT NOT NULL,
  used TEXT NOT NULL,
  created_ns {number} NOT NULL,
  expires_ns {number} NOT NULL,
  ended_ns {number} NOT NULL,
  ended_by TEXT NOT NULL
) {strict}

CREATE UNIQUE INDEX mandates_of_session ON mandates (session) WHERE state = 'active'

CREATE INDEX mandates_of_subject ON mandates (subject_index)
