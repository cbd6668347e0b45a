"""Guards: what a text does to the interpreter that it goes into. See `docs/guards.md`."""
