"""Values on a terminal."""
