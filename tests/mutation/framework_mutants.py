"""Bugs planted in the guard of agent frameworks: what runs was allowed, as it runs, and its result was looked at."""

from __future__ import annotations

from mutant import Mutant

_GUARD, _LANGCHAIN = "pdp/adapters/frameworks/tool_guard.py", "pdp/adapters/frameworks/langchain.py"
_CPEX = "pdp/adapters/frameworks/cpex.py"

FRAMEWORKS = (
    Mutant(
        "guard-all-run",
        _GUARD,
        "return not self.decision.obligations and self.decision.holds(time.time())",
        "return True",
        "only an allow runs",
    ),
    Mutant(
        "guard-other-arguments",
        _GUARD,
        " or verdict.digest != call.digest:\n            return question",
        ":\n            return question",
        "other arguments are another question",
    ),
    Mutant(
        "guard-result", _GUARD, "return result if passed == text else passed", "return result", "what is cut is cut"
    ),
    Mutant("guard-withheld", _GUARD, "return found.safe_message or WITHHELD", "return result", "a doubt withholds"),
    Mutant("guard-failed", _GUARD, '"unknown" if failed else "done"', '"done"', "a failure may have had its effect"),
    Mutant(
        "guard-any-run",
        _GUARD,
        "[self.identity.run, session, self.id]",
        "[session, self.id]",
        "an execution is one run's",
    ),
    Mutant(
        "guard-anybody",
        _GUARD,
        "return context if isinstance(context, RunIdentity) else NOBODY",
        "return context or NOBODY",
        "an identity is the application's",
    ),
    Mutant("guard-obliged", _GUARD, "not self.decision.obligations and", "", "nobody honours an obligation"),
    Mutant(
        "guard-used-twice",
        _GUARD,
        "kept.pop(call.execution, None)",
        "kept.get(call.execution)",
        "an allow is for one run",
    ),
    Mutant(
        "guard-other-run",
        _GUARD,
        "and verdict.digest == call.digest and verdict.allowed else None",
        "and verdict.allowed else None",
        "an allow is for its arguments",
    ),
    Mutant(
        "guard-changed",
        _GUARD,
        "CallVerdict(call, decision, digest)",
        'CallVerdict(call, decision, "")',
        "as it was asked",
    ),
    Mutant(
        "guard-never-asked",
        _GUARD,
        'was carried out without an allow", call.tool)\n            return WITHHELD',
        'was carried out without an allow", call.tool)\n            return result',
        "what was not allowed is withheld",
    ),
    Mutant(
        "openai-pending-runs",
        "pdp/adapters/frameworks/openai_agents.py",
        "            if verdict.allowed:\n                return ToolGuardrailFunctionOutput.allow()",
        "            if verdict.message:\n                return ToolGuardrailFunctionOutput.allow()",
        "only an allow runs",
    ),
    Mutant(
        "claude-continues",
        "pdp/adapters/frameworks/claude_agent.py",
        ', on_failure="block"',
        "",
        "a hook that fails blocks",
    ),
    Mutant(
        "litellm-turned-off",
        "pdp/adapters/frameworks/litellm.py",
        "return bool(event_type == GuardrailEventHooks.pre_mcp_call)",
        "return bool(super().should_run_guardrail(data, event_type))",
        "a request's metadata turns nothing off",
    ),
    Mutant("cpex-rounded", _CPEX, "abs(value) >= _EXACT", "abs(value) > _EXACT", "a rounded number is refused"),
    Mutant("cpex-only-watches", _CPEX, 'config.mode != "sequential"', "False", "no configuration lets calls through"),
    Mutant("cpex-never-asked", _CPEX, "passed = WITHHELD", "passed = content", "what was not allowed is withheld"),
    Mutant(
        "cpex-pending-runs",
        _CPEX,
        "        if not verdict.allowed:\n",
        "        if verdict.waiting is None and not verdict.allowed:\n",
        "only an allow runs",
    ),
    Mutant(
        "langchain-refused-runs",
        _LANGCHAIN,
        "            return _refused(request, verdict)\n        try:\n            result = await",
        "            pass\n        try:\n            result = await",
        "only an allow runs",
    ),
)
