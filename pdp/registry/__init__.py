"""Which servers and tools there are: signed manifests under one signed set index (DESIGN section 2 and 4)."""
