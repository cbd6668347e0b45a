ALTER TABLE votes ADD COLUMN signed_in_ns {number} NOT NULL DEFAULT 0
