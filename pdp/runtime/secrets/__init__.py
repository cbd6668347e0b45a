"""Secrets by reference: files and Vault."""
