"""The embedded engine: regorus in confined worker processes."""
