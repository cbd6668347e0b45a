"""Session state: labels and counters, never identity."""
