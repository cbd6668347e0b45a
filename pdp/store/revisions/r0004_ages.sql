-- Finds the judge's oldest answers.
CREATE INDEX evidence_by_age ON evidence (created_ns)
