"""Bugs planted in AuthZEN: what counts of a body, what permits, and whom a page token is for."""

from __future__ import annotations

from mutant import Mutant

_AUTHZEN = "pdp/adapters/authzen/"

AUTHZEN = (
    Mutant(
        "authzen-properties",
        f"{_AUTHZEN}access_questions.py",
        "vouching = caller.may_assert.properties",
        "vouching = True",
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
    Mutant(
        "authzen-obligation-undeclared",
        f"{_AUTHZEN}obligations.py",
        "tuple(kind for kind in kinds if _type(kind) in said)",
        "tuple(kinds)",
        "a caller is obliged to nothing that it did not say it carries out",
    ),
    Mutant(
        "authzen-obligation-malformed",
        f"{_AUTHZEN}access.py",
        "if permitted and told is None:",
        "if False:",
        "a permit whose obligation cannot be told is none",
    ),
    Mutant(
        "authzen-obligation-search",
        f"{_AUTHZEN}access.py",
        "seconds=seconds, told=False)",
        "seconds=seconds, told=True)",
        "a search has no place for obligations",
    ),
    Mutant(
        "authzen-denial",
        f"{_AUTHZEN}access_tasks.py",
        "if not compare_digest(denial.digest, self._digest(denial, asked, caller)):",
        "if False:",
        "a denial is of its caller and question",
    ),
    Mutant(
        "authzen-denial-late",
        f"{_AUTHZEN}access_tasks.py",
        "if denial.expires_s * NS <= self._tasks.clock.now_ns():",
        "if False:",
        "a denial has an end",
    ),
    Mutant(
        "authzen-task",
        f"{_AUTHZEN}access_tasks.py",
        "return ids if ids and compare_digest(handle, self._handle(ids, caller)) else ()",
        "return ids",
        "a task is of its caller",
    ),
    Mutant(
        "authzen-approval",
        f"{_AUTHZEN}access_tasks.py",
        "task is not None and task.call_digest == answer.call_digest",
        "task is not None",
        "an approval is told to be of its question only",
    ),
    Mutant(
        "authzen-task-denied",
        "pdp/service/approvals/tasks.py",
        "(TaskStatus.DENIED, frozenset({State.DENIED})),",
        "(TaskStatus.DENIED, frozenset()),",
        "what people refused is not approved",
    ),
    Mutant(
        "authzen-task-spent",
        "pdp/service/approvals/tasks.py",
        "return approval.resolved_ns if approval.state is State.REDEEMED else approval.expires_ns",
        "return approval.expires_ns",
        "an approval that was used is good for nothing since",
    ),
    Mutant(
        "authzen-mcp-arguments",
        f"{_AUTHZEN}mcp_binding.py",
        "if given is None and not takes_none:",
        "if False:",
        "arguments that nobody sent are not none",
    ),
    Mutant(
        "authzen-mcp-agent",
        f"{_AUTHZEN}mcp_binding.py",
        'questions.credential(asked.subject, agent or "", options)',
        'questions.credential(asked.subject, agent or "anybody", options)',
        "an agent that is not named is nobody",
    ),
    Mutant(
        "authzen-mcp-hidden",
        f"{_AUTHZEN}mcp_binding.py",
        "(begins or not answer.hidden)",
        "True",
        "a list with a hidden tool is not shown",
    ),
    Mutant(
        "authzen-mcp-server",
        f"{_AUTHZEN}mcp_binding.py",
        'if len(caller.servers) != 1 or "*" in caller.servers:',
        "if not caller.servers:",
        "a server is not chosen among several",
    ),
)
