"""Prompt injection: rules (`rules.toml`) and their matching, for tools and their results."""
