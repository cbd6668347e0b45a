"""Which servers and tools there are: signed manifests under one signed set index."""
