"""Proof: the log of records, its checkpoints and witnesses, archive, search and verification."""
