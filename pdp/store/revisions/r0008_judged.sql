-- What the first stores with requests lack: revision 0002 was extended after it had been used, by what a judge's
-- answer rests on. Their answers have no basis, so none of them counts any more.
ALTER TABLE evidence ADD COLUMN basis TEXT NOT NULL DEFAULT ''

ALTER TABLE evidence ADD COLUMN asker TEXT NOT NULL DEFAULT ''

ALTER TABLE evidence ADD COLUMN refused {number} NOT NULL DEFAULT 0

ALTER TABLE evidence ADD COLUMN subject_index TEXT NOT NULL DEFAULT ''

ALTER TABLE evidence ADD COLUMN opinion {bytes} NOT NULL DEFAULT {nothing}

CREATE INDEX evidence_of_asker ON evidence (tenant, asker, created_ns)
