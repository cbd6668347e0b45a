"""The adapters between the service and protocols. Adapters never know one another."""
