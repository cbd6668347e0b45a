-- Labels that people were asked to remove stand beside what puts them there again.
ALTER TABLE labels RENAME TO labels_before

CREATE TABLE labels (
  pair TEXT NOT NULL, -- a keyed index
  label TEXT NOT NULL,
  shown TEXT NOT NULL DEFAULT '', -- the request that showed it to people
  code TEXT NOT NULL,
  pack TEXT NOT NULL,
  decision_id TEXT NOT NULL,
  at_ns {number} NOT NULL,
  PRIMARY KEY (pair, label, shown)
) {keyed}

INSERT INTO labels (pair, label, code, pack, decision_id, at_ns)
SELECT pair, label, code, pack, decision_id, at_ns FROM labels_before

DROP TABLE labels_before
