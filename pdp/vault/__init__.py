"""Secrets from HashiCorp Vault, or whatever speaks its KV version 2 API (docs/docker.md, docs/operators.md)."""
