"""Bugs planted in the hours of people: whom a request asks, what counts, and whether the commit counts too."""

from __future__ import annotations

from mutant import Mutant

_CORE = "pdp/core/approvals/hourly_limits.py"

QUESTIONS = (
    Mutant(
        "hour-of-claimed-groups-forgotten",
        _CORE,
        "groups & directory.claimable)",
        "frozenset())",
        "members whom the directory does not know are asked too",
    ),
    Mutant(
        "hour-of-a-disabled-member",
        _CORE,
        "if member.active and not",
        "if not",
        "who is disabled is not asked",
    ),
    Mutant(
        "hour-not-read",
        "pdp/service/facts.py",
        "keys = replace(keys, asked_ns=asked_ns) if asked_ns else keys",
        "pass",
        "a policy that reads it is told",
    ),
    Mutant(
        "hour-not-in-the-commit",
        "pdp/store/approvals/steps.py",
        "    if step.hourly is not None:",
        "    if False:",
        "two processes do not both find room for one",
    ),
    Mutant(
        "hour-not-before-the-commit",
        "pdp/service/approvals/requests.py",
        "return _busy(*full, at_ns) if full is not None else None",
        "return None",
        "the caller is told to come back",
    ),
)
