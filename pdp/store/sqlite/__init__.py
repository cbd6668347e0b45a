"""The store on PostgreSQL: processes share one log, and who writes locks its head."""
