"""The codes of the service's own denials, and the control that each serves.

Controls are the items of the minimum bar of the OWASP guide for secure MCP servers (MB-1.1 to MB-5.3) and the OWASP
MCP Top 10 (MCP01 to MCP10). Elements of packs name theirs themselves; gate and service have this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

CONTROLS: Mapping[str, str] = {
    "MB-1.1": "Remote servers take OAuth 2.1 or OIDC: the requester is known",
    "MB-1.2": "Tokens are short-lived, scoped, and validated on every call",
    "MB-1.3": "No token is passed through, and policy is enforced in one place",
    "MB-2.1": "Users, sessions and contexts of execution are isolated",
    "MB-2.2": "No state is shared between users or calls",
    "MB-2.3": "Sessions end, and resources have quotas",
    "MB-3.1": "Tools are signed, pinned to a version, and approved",
    "MB-3.2": "Descriptions of tools are compared with what runs",
    "MB-3.3": "The model sees only the fields of a tool that it needs",
    "MB-4.1": "Messages and arguments match their schemas",
    "MB-4.2": "Arguments are cleaned, bounded in size, and not trusted",
    "MB-4.3": "Tools are called by structured messages only",
    "MB-5.1": "Servers run in containers, without root, on a restricted network",
    "MB-5.2": "Secrets lie in vaults and never reach a model",
    "MB-5.3": "Delivery is gated, calls are logged, and somebody watches",
    "MCP01": "Token mismanagement and secret exposure",
    "MCP02": "Privilege escalation by scope creep",
    "MCP03": "Tool poisoning",
    "MCP04": "Supply chain attacks and tampering",
    "MCP05": "Command injection and execution",
    "MCP06": "Subversion of intent",
    "MCP07": "Insufficient authentication and authorization",
    "MCP08": "Lack of audit and telemetry",
    "MCP09": "Shadow servers",
    "MCP10": "Context injection and over-sharing",
}

# Those that no denial of the baseline, the gate or the service serves, and why.
UNSERVED: Mapping[str, str] = {
    "MB-3.3": "Which fields of a tool reach the model is the caller's doing, and shows in no call.",
    "MB-5.1": "How a server runs shows in no call; an organisation vets it before it signs the tool.",
}

# By code, or by its first part for all others that begin with it.
SERVED: Mapping[str, str] = {
    "agent": "MB-1.1",
    "agent.chain_too_deep": "MB-1.3",
    "already_redeemed": "MCP02",
    "approval": "MB-2.3",
    "approval.unsatisfiable": "MCP06",
    "arguments": "MB-4.1",
    "budget": "MB-2.3",
    "caller": "MCP07",
    "check": "MB-1.3",
    "client": "MB-1.3",
    "consent": "MCP02",
    "evidence": "MCP06",
    "grant": "MCP02",
    "obligation": "MCP10",
    "person": "MB-1.1",
    "policy": "MB-1.3",
    "policy.not_granted": "MCP07",
    "record": "MCP08",
    "registry": "MCP04",
    "request": "MB-4.3",
    "requirement": "MCP06",
    "requirement.expired": "MB-2.3",
    "requirement.malformed": "MB-1.3",
    "requirement.too_long": "MB-2.3",
    "result": "MCP10",
    "result.malformed": "MB-4.1",
    "resume": "MB-2.1",
    "resume.mismatch": "MB-2.2",
    "server": "MCP09",
    "session": "MB-2.1",
    "store": "MCP08",
    "subject": "MB-1.1",
    "subject.audience": "MB-1.3",
    "subject.expired": "MB-1.2",
    "subject.lifetime": "MB-1.2",
    "subject.not_vouchable": "MCP07",
    "subject.not_yet_valid": "MB-1.2",
    "subject.revocations_unavailable": "MB-1.2",
    "subject.revoked": "MB-1.2",
    "subject.tenant": "MB-2.1",
    "subject.unbound": "MCP01",
    "switch": "MB-5.3",
    "switch.quarantine": "MB-3.2",
    "target": "MB-3.1",
    "target.drifted": "MB-3.2",
    "target.malformed": "MB-4.3",
    "target.not_presented": "MB-3.2",
    "target.quarantined": "MCP03",
    "target.unsupported": "MB-4.3",
    "target.unwatched": "MB-3.2",
    "tool": "MB-3.1",
    "tool.drifted": "MB-3.2",
    "tool.not_presented": "MB-3.2",
    "tool.quarantined": "MCP03",
    "tool.unwatched": "MB-3.2",
}

# No organisation's pack may use these, so that a code says who denied.
SERVICE_CODES = frozenset(code for code in SERVED if "." not in code)


def is_service_code(code: str) -> bool:
    """Whether a code belongs to the service."""
    return _first_part(code) in SERVICE_CODES


@lru_cache(1024)
def control_of(code: str) -> str:
    """The control that a denial by gate or service serves; empty for a code of a pack."""
    return SERVED.get(code) or SERVED.get(_first_part(code), "")


def _first_part(code: str) -> str:
    return code.partition(".")[0]
