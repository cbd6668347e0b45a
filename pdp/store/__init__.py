"""The one commit port: a record and everything that must be true exactly when the record is durable."""
