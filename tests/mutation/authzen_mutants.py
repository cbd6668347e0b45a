"""Bugs planted in AuthZEN: what counts of a body, what permits, and whom a page token is for."""

from __future__ import annotations

from mutant import Mutant

_AUTHZEN = "pdp/adapters/authzen/"

AUTHZEN = (
    Mutant(
        "authzen-properties",
        f"{_AUTHZEN}access_questions.py",
        "_declared(declared, name) if caller.may_assert.properties else frozenset()",
        "_declared(declared, name)",
        "properties count on the word of who may give it",
    ),
    Mutant(
        "authzen-pending",
        f"{_AUTHZEN}access.py",
        "answer.effect is Effect.ALLOW",
        "answer.effect is not Effect.DENY",
        "only an allow permits",
    ),
    Mutant(
        "authzen-stop",
        f"{_AUTHZEN}access.py",
        'if decision["decision"] is stop:',
        "if False:",
        "what comes after the first denial is not asked",
    ),
    Mutant(
        "authzen-token",
        f"{_AUTHZEN}entity_search.py",
        "not compare_digest(token, self._token(int(told[1]), int(told[2]), bound))",
        "False",
        "a page token is of its caller and search",
    ),
    Mutant(
        "authzen-rounded",
        f"{_AUTHZEN}rpc.py",
        "if not abs(number) < _ROUNDED:",
        "if not abs(number) <= _ROUNDED:",
        "2^53 of a double may have been 2^53+1",
    ),
    Mutant(
        "authzen-grpc-off",
        "pdp/runtime/callers.py",
        "if options is None or not options.grpc:",
        "if options is None:",
        "gRPC has a switch of its own",
    ),
    Mutant(
        "authzen-operation",
        "pdp/core/methods.py",
        "{quote(resource_type, safe=_PLAIN)}",
        "{resource_type}",
        "no two operations have one name",
    ),
)
