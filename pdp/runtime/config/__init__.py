"""Configuration: settings, where each value comes from, and problems in it."""
