"""Tools for the people who write policy and run the product; nothing here answers requests."""
