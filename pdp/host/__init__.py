"""The machine below: files that operators write, sockets, confinement, limits. Knows the core alone."""
