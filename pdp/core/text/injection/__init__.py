"""Text that speaks to a model: its rules (`rules.toml`) and their matching, for tools and what they return."""
