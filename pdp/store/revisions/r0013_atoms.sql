-- What subjects and agents have seen, as keyed hashes; and whose each place is, for erasure.
CREATE TABLE atoms (
  place TEXT NOT NULL, -- keyed indexes: a pair, or a memory
  session TEXT NOT NULL,
  atom {number} NOT NULL, -- a keyed hash
  decision_id TEXT NOT NULL,
  at_ns {number} NOT NULL,
  PRIMARY KEY (place, session, atom)
) {keyed}

CREATE TABLE places (
  place TEXT NOT NULL,
  session TEXT NOT NULL,
  subject TEXT NOT NULL,
  PRIMARY KEY (place, session)
) {keyed}

CREATE INDEX places_by_session ON places (session)

CREATE INDEX places_by_subject ON places (subject)
