"""The fixed list. Each mutant must be caught by a test or by the load gate; one that survives is a missing test."""

from __future__ import annotations

from approval_mutants import APPROVALS
from approval_service_mutants import PEOPLE
from argument_mutants import ARGUMENTS
from authzen_mutants import AUTHZEN
from budget_mutants import BUDGETS
from checklist_mutants import CHECKLIST
from composition_mutants import COMPOSITION
from console_mutants import CONSOLE
from core_mutants import CORE
from drill_mutants import DRILL
from encoding_mutants import ENCODING
from framework_mutants import FRAMEWORKS
from gate_mutants import LOADING
from gateway_mutants import GATEWAYS
from guard_mutants import GUARDS
from hook_mutants import HOOKS
from hour_mutants import QUESTIONS
from identity_mutants import IDENTITY
from judge_mutants import JUDGE
from judge_process_mutants import JUDGE_PROCESS
from kind_mutants import KINDS
from mcp_mutants import MCP
from notice_mutants import NOTICES
from pack_mutants import GATED
from redeeming_mutants import REDEEMING
from replay_mutants import REPLAY
from requirement_mutants import WANTED
from result_mutants import RESULTS
from rule_mutants import TESTED
from share_mutants import SHARES
from store_mutants import STORE

MUTANTS = (
    *COMPOSITION,
    *WANTED,
    *GATED,
    *TESTED,
    *CORE,
    *ENCODING,
    *LOADING,
    *IDENTITY,
    *JUDGE,
    *JUDGE_PROCESS,
    *APPROVALS,
    *PEOPLE,
    *CONSOLE,
    *QUESTIONS,
    *REDEEMING,
    *SHARES,
    *STORE,
    *BUDGETS,
    *NOTICES,
    *GATEWAYS,
    *FRAMEWORKS,
    *HOOKS,
    *AUTHZEN,
    *MCP,
    *KINDS,
    *REPLAY,
    *RESULTS,
    *CHECKLIST,
    *ARGUMENTS,
    *GUARDS,
    *DRILL,
)
