"""Policy engines: bundles, the load gate, and what evaluates them."""
