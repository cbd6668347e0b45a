-- Finds what became of a redeemed call.
CREATE INDEX outcomes_of_redemption ON outcomes (redemption_id) WHERE redemption_id <> ''
