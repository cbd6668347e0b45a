"""Bytes and their spelling: canonical JSON, digests, pointers, schemas."""
