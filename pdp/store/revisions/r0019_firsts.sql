-- What tenants' agents named for the first time.
CREATE TABLE firsts (
  tenant TEXT NOT NULL,
  sort TEXT NOT NULL,
  idx TEXT NOT NULL, -- a keyed index; empty for all that has no place
  record {number} NOT NULL, -- the index of the one that named it first
  PRIMARY KEY (tenant, sort, idx)
) {keyed}
