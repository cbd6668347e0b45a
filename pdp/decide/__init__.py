"""Decisions: one call from request to answer. Imports the core and its ports; knows nothing of gRPC, SQLite or
Rego engines."""
