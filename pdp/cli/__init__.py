"""The command line (DESIGN section 11)."""
