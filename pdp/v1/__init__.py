"""Stubs of the public contract, generated from ``proto/pdp/v1``: never edited, not linted.

Run ``python proto/generate.py`` after a change of a proto file.
"""
