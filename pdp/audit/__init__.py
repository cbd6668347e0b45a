"""What can be said about records after the fact: the closed schema and the strict check."""
