"""Between the messages of `pdp.v1` and the values of the core."""
