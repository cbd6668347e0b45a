"""Bugs planted in the hours of people: whom a request asks, what counts, and whether the commit counts too."""

from __future__ import annotations

from mutant import Mutant

_CORE = "pdp/core/approvals/hourly_limits.py"

QUESTIONS = (
    Mutant("hour-one-more", _CORE, "if len(times) >= most", "if len(times) > most", "as many as may be, and no more"),
    Mutant(
        "hour-by-group-alone",
        _CORE,
        "(*members, *(frozenset({group}) for group in groups))",
        "frozenset({group}) for group in groups",
        "a person is asked through all of its groups",
    ),
    Mutant(
        "hour-of-claimed-groups-forgotten",
        _CORE,
        "(*members, *(frozenset({group}) for group in groups))",
        "members",
        "members whom the directory does not know are asked too",
    ),
    Mutant(
        "hour-canary-is-the-requesters",
        _CORE,
        "(q.subject, q.agent, q.canary) == (wanted.subject, wanted.agent, False)",
        "(q.subject, q.agent) == (wanted.subject, wanted.agent)",
        "a canary is nobody's request",
    ),
    Mutant(
        "hour-of-a-disabled-member",
        _CORE,
        "if member.active and not",
        "if not",
        "who is disabled is not asked",
    ),
    Mutant(
        "hour-first-is-enough",
        _CORE,
        "until = max((_free_at",
        "until = min((_free_at",
        "each of those who would be asked has room",
    ),
    Mutant(
        "hour-of-the-group-alone",
        _CORE,
        "max(asked, fullest)",
        "asked",
        "a member was asked through another group",
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
