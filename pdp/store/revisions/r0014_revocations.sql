-- Revocations of tokens that issuers push.
CREATE TABLE revocations (
  idx TEXT PRIMARY KEY, -- a keyed index
  tenant TEXT NOT NULL,
  event TEXT NOT NULL,
  by TEXT NOT NULL,
  until_issued_ns {number} NOT NULL,
  until_ns {number} NOT NULL
) {keyed}
