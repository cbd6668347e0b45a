"""Rows of the store as values: the ground of the core. Times are Unix nanoseconds."""
