-- Whom the pseudonyms of records stand for. Records of older releases hold ids, and have no rows here.
CREATE TABLE people (
  pseudonym TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  subject TEXT NOT NULL, -- a keyed index
  kind TEXT NOT NULL,
  issuer TEXT NOT NULL,
  id TEXT NOT NULL
) {keyed}

CREATE INDEX people_by_subject ON people (subject)
