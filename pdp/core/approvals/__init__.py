"""Approvals, grants and consents as values, and the rules for them. Pure: rows are values, changes are steps."""
