"""What stands between the service and a protocol. Adapters never know one another."""
