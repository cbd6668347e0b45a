"""The table of items: the minimum bar of the OWASP guide for secure MCP servers, the OWASP MCP Top 10 and the OWASP
Top 10 for agentic applications, with the checks that decide each, the phase in which it is met, and its relatives.

An item is as good as the worst of its checks. The relatives are the paragraphs of frameworks that ask for the same
kind of thing, as far as we are sure; a pass is evidence for them, not conformity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pdp.core.outcome.codes import CONTROLS
from pdp.tools.checklist import access, oversight, servers
from pdp.tools.checklist.checks import ItemCheck, elements

# The texts that paragraphs are cited from.
SOURCES: Mapping[str, str] = {
    "nist_ai_rmf": "NIST AI 100-1, AI Risk Management Framework 1.0 (January 2023), subcategories",
    "iso_42001": "ISO/IEC 42001:2023, Annex A, controls",
    "eu_ai_act": "Regulation (EU) 2024/1689, articles; they bind high-risk systems",
}
# What comes first: each phase rests on the one before.
PHASES: Mapping[int, str] = {
    1: "before anybody may ask: requesters are known, and users are apart",
    2: "before a server is added: its tools are signed, reviewed and contained",
    3: "before agents change anything: arguments and results are checked, people decide",
    4: "before you rely on it: records, alarms, and somebody who acts",
}
AGENTIC: Mapping[str, str] = {
    "ASI01": "Agent goal hijack",
    "ASI02": "Tool misuse and exploitation",
    "ASI03": "Identity and privilege abuse",
    "ASI04": "Agentic supply chain vulnerabilities",
    "ASI05": "Unexpected code execution",
    "ASI06": "Memory and context poisoning",
    "ASI07": "Insecure inter-agent communication",
    "ASI08": "Cascading failures",
    "ASI09": "Human-agent trust exploitation",
    "ASI10": "Rogue agents",
}


Relatives: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]  # keys of `SOURCES`, each with its paragraphs


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    """An item, its phase, the checks that decide it, and its relatives."""

    id: str
    title: str
    phase: int
    checks: tuple[ItemCheck, ...]
    relatives: Relatives


def _of(*paragraphs: tuple[str, ...]) -> Relatives:
    return tuple(zip(SOURCES, paragraphs, strict=True))


_SECURITY = _of(("MEASURE 2.7",), ("A.6.2.6",), ("15",))
_IDENTITY = _of(("GOVERN 2.1", "MEASURE 2.7"), ("A.3.2",), ("15",))
_ISOLATION = _of(("MEASURE 2.7", "MEASURE 2.10"), ("A.6.2.6",), ("15",))
_SUPPLY = _of(("GOVERN 6.1", "MANAGE 3.1"), ("A.10.3", "A.4.4"), ("15", "25"))
_PEOPLE = _of(("MAP 3.5", "GOVERN 3.2"), ("A.9.2", "A.3.2"), ("14", "26"))
_RECORDS = _of(("MEASURE 2.8", "MANAGE 4.1"), ("A.6.2.8", "A.6.2.6"), ("12", "19", "26"))
_STOP = _of(("MANAGE 2.4", "MEASURE 2.6"), ("A.6.2.6",), ("14", "15"))
_INVENTORY = _of(("GOVERN 1.6", "MANAGE 3.1"), ("A.4.2", "A.10.3"), ("26",))

_FORM = elements("MB-4.1", "arguments.undeclared", "schema.open", "result.schema")
_HIDDEN = elements("MB-4.2", "arguments.hidden_unicode", "result.hidden")
_SECRETS = elements("MB-5.2", "arguments.secret", "result.secret")
_SCOPES = elements("MB-1.2", "scope.missing")
_BUDGETS = elements("MB-2.3", "budget.exceeded", "budget.unknown")
_COMPLETE = elements("MB-1.3", "org.incomplete", "delegation.depth")
_EFFECTS = elements("MB-3.2", "result.effect", "result.quarantine")
_OWN_TOKEN = elements("MCP01", "arguments.own_token", "arguments.unread")
_UNATTENDED = elements("MCP02", "agent.unattended")
_INJECTION = elements("MCP05", "arguments.injection", "arguments.unparsed", "arguments.suspect")
_INTENT = elements("MCP06", "annotations.destructive", "files.steering", "risk.critical", "risk.high", "risk.medium")
_CONTEXT = elements("MCP10", "sink.tainted", "flow.exfiltration", "memory.tainted", "result.external")

_TOOLS = (servers.signed, servers.reviewed, servers.compared)
_LOG = (oversight.durable, oversight.log_signed, oversight.witnessed, oversight.recent)
_WATCH = (oversight.metrics, oversight.alerts)
_IN_FORCE = (access.policy_in_force, access.bound)

_TABLE: tuple[tuple[str, int, Relatives, tuple[ItemCheck, ...]], ...] = (
    ("MB-1.1", 1, _IDENTITY, (access.issuers, access.no_development, access.transport, access.no_vouching)),
    ("MB-1.2", 1, _IDENTITY, (access.token_lifetime, access.token_validation, _SCOPES, servers.permissions)),
    ("MB-1.3", 1, _SECURITY, (*_IN_FORCE, access.examined, _COMPLETE, _OWN_TOKEN)),
    ("MB-2.1", 1, _ISOLATION, (access.apart, access.no_vouching)),
    ("MB-2.2", 1, _ISOLATION, (access.state,)),
    ("MB-2.3", 1, _ISOLATION, (access.sessions_end, access.fair_shares, _BUDGETS)),
    ("MB-3.1", 2, _SUPPLY, (servers.signed, servers.reviewed)),
    ("MB-3.2", 2, _SUPPLY, (servers.compared, _EFFECTS)),
    ("MB-3.3", 2, _SECURITY, (servers.model_fields,)),
    ("MB-4.1", 3, _SECURITY, (_FORM,)),
    ("MB-4.2", 3, _SECURITY, (_HIDDEN, servers.bounded)),
    ("MB-4.3", 3, _SECURITY, (servers.structured,)),
    ("MB-5.1", 2, _SUPPLY, (servers.contained,)),
    ("MB-5.2", 2, _SECURITY, (oversight.secrets_found, oversight.secrets_vault, _SECRETS)),
    ("MB-5.3", 4, _RECORDS, (access.policy_in_force, access.policy_delivery, *_LOG, *_WATCH, oversight.operators)),
    ("MCP01", 1, _IDENTITY, (access.token_lifetime, access.token_validation,
                            oversight.secrets_found, _OWN_TOKEN, _SECRETS)),
    ("MCP02", 3, _IDENTITY, (_SCOPES, servers.permissions, access.named_servers, access.unattended,
                            access.access_reviewed, access.grants, _UNATTENDED)),
    ("MCP03", 2, _SUPPLY, (*_TOOLS, _EFFECTS)),
    ("MCP04", 2, _SUPPLY, (servers.signed, servers.packages, access.policy_released)),
    ("MCP05", 3, _SECURITY, (_INJECTION, servers.interpreters)),
    ("MCP06", 3, _PEOPLE, (*_IN_FORCE, _INTENT, oversight.people, oversight.judge, oversight.inspected)),
    ("MCP07", 1, _IDENTITY, (access.issuers, access.no_vouching, *_IN_FORCE, access.apart)),
    ("MCP08", 4, _RECORDS, (*_LOG, *_WATCH)),
    ("MCP09", 2, _INVENTORY, (servers.signed, servers.servers_known, access.named_servers, servers.only_way)),
    ("MCP10", 3, _SECURITY, (_CONTEXT, oversight.inspected, access.sessions_end)),
    ("ASI01", 3, _PEOPLE, (_INTENT, _HIDDEN, oversight.inspected, oversight.people)),
    ("ASI02", 3, _SECURITY, (*_IN_FORCE, _FORM, _BUDGETS, servers.reviewed)),
    ("ASI03", 1, _IDENTITY, (access.issuers, access.no_development, access.no_vouching, access.apart,
                             access.unattended, access.delegation, access.access_reviewed, access.grants, _SCOPES)),
    ("ASI04", 2, _SUPPLY, (*_TOOLS, servers.packages, access.policy_released)),
    ("ASI05", 3, _SECURITY, (_INJECTION, servers.interpreters, servers.contained)),
    ("ASI06", 3, _SECURITY, (_CONTEXT, oversight.inspected)),
    ("ASI07", 4, _SECURITY, (access.transport, access.delegation, servers.channels)),
    ("ASI08", 4, _STOP, (access.fair_shares, _BUDGETS, oversight.operators, *_WATCH)),
    ("ASI09", 3, _PEOPLE, (_INTENT, oversight.people, oversight.reach)),
    ("ASI10", 4, _STOP, (servers.agents, _EFFECTS, oversight.operators, oversight.durable, *_WATCH)),
)  # fmt: skip

_TITLES = {**CONTROLS, **AGENTIC}
ITEMS: tuple[ChecklistItem, ...] = tuple(
    ChecklistItem(id_, _TITLES[id_], phase, checks, relatives) for id_, phase, relatives, checks in _TABLE
)
