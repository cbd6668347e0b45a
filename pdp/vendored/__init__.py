"""Stubs of the calls of others, generated from ``proto/pdp/vendored``: never edited, not linted.

Run ``python proto/generate.py`` after a change of a proto file.
"""
