"""Files that operators write: strict YAML, trusted folders, contradictions between settings."""
