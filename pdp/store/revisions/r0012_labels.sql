-- State of sessions, and the labels and awaited results of those who hold them.
-- A session of an older release counts as one whose calls nobody counted: it was opened at 0.
ALTER TABLE sessions ADD COLUMN state TEXT NOT NULL DEFAULT 'open'

ALTER TABLE sessions ADD COLUMN opened_ns {number} NOT NULL DEFAULT 0

ALTER TABLE sessions ADD COLUMN used_ns {number} NOT NULL DEFAULT 0

ALTER TABLE sessions ADD COLUMN over_ns {number} NOT NULL DEFAULT 0

ALTER TABLE sessions ADD COLUMN calls {number} NOT NULL DEFAULT 0

ALTER TABLE sessions ADD COLUMN denials {number} NOT NULL DEFAULT 0

ALTER TABLE sessions ADD COLUMN parent TEXT NOT NULL DEFAULT ''

ALTER TABLE sessions ADD COLUMN tree TEXT NOT NULL DEFAULT ''

ALTER TABLE sessions ADD COLUMN task TEXT NOT NULL DEFAULT ''

UPDATE sessions SET over_ns = until_ns

CREATE INDEX sessions_by_parent ON sessions (parent)

CREATE TABLE labels (
  pair TEXT NOT NULL, -- a keyed index
  label TEXT NOT NULL,
  code TEXT NOT NULL,
  pack TEXT NOT NULL,
  decision_id TEXT NOT NULL,
  at_ns {number} NOT NULL,
  PRIMARY KEY (pair, label)
) {keyed}

CREATE TABLE awaited (
  pair TEXT NOT NULL,
  decision_id TEXT NOT NULL,
  PRIMARY KEY (pair, decision_id)
) {keyed}
