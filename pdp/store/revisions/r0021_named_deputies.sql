-- Delegations say which operator made them, if the one who is away did not.
ALTER TABLE delegations ADD COLUMN "by" TEXT NOT NULL DEFAULT ''
