"""The proof that a change of policy widens nothing (`pdp policy prove`, docs/prove.md).

Needs the extra `prove` (z3-solver): for authors and pipelines, never in the server.
"""
