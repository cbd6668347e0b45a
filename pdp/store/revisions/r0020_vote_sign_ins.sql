-- Votes say when what the voter signed in with was issued: one that was revoked since does not count.
ALTER TABLE votes ADD COLUMN signed_in_ns {number} NOT NULL DEFAULT 0
