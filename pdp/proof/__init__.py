"""Audit of records: the closed schema and the strict check."""
