"""One running process: wiring, background tasks, preflight."""
