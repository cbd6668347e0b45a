"""The OPA server engine."""
