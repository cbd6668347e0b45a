"""The decision: reads top to bottom, knows ports and core, and nothing of gRPC, SQLite or Rego engines."""
