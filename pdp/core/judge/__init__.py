"""The judge, as far as it is pure: what it sees, what it may answer, how that is read."""
