"""Bugs planted in the hooks of coding agents: what is no whole allow blocks, and a name means one tool."""

from __future__ import annotations

from mutant import Mutant

_HOOK, _AGENTS, _TOOLS = "pdp/hook.py", "pdp/adapters/hooks/agents.py", "pdp/adapters/hooks/own_tools.py"
_LISTENER, _WEBHOOKS = "pdp/adapters/hooks/listener.py", "pdp/adapters/hooks/webhooks.py"
_SERVE, _INSTALL = "pdp/cli/hook_serve.py", "pdp/cli/hook.py"

HOOKS = (
    Mutant("hook-half", _HOOK, " or int(words[1]) != len(text)", "", "half an answer is none"),
    Mutant("hook-crash", _HOOK, "        return _blocked(_TORN)\n", "        return 1\n", "only code 2 blocks"),
    Mutant("hook-any-code", _HOOK, "0 if int(words[0]) == 0 else BLOCKED", "int(words[0])", "only code 2 blocks"),
    Mutant(
        "hook-no-alarm",
        _HOOK,
        "        signal.setitimer(signal.ITIMER_REAL, float(seconds))\n",
        "",
        "it ends before the agent ends it",
    ),
    Mutant(
        "hook-environment", _HOOK, 'sys.executable, "-I", "-m"', 'sys.executable, "-m"', "a project reaches nothing"
    ),
    Mutant(
        "hook-two-readings",
        _AGENTS,
        'r"mcp__([^_](?:_?[^_])*)__([^_](?:_?[^_])*)"',
        'r"mcp__(.+?)__(.+)"',
        "a name means one tool",
    ),
    Mutant("hook-no-server", _AGENTS, " or not started:", ":", "an MCP tool is none of the agent's own"),
    Mutant("hook-twice", _AGENTS, "    if len(members) != len(pairs):", "    if False:", "a member stands once"),
    Mutant("hook-continues", _AGENTS, ', onFailure="block"', "", "a failure blocks"),
    Mutant("hook-open", _AGENTS, '"failClosed": True', '"failClosed": False', "a failure blocks"),
    Mutant(
        "hook-around",
        _TOOLS,
        "zip(named, wanted, strict=False)",
        'zip([*named, ""][: len(wanted)], wanted, strict=False)',
        "a folder around it reaches it",
    ),
    Mutant(
        "hook-links", _TOOLS, "Path(*parts[:plain]).resolve()", "Path(*parts[:plain])", "a link is what it leads to"
    ),
    Mutant("hook-where", _TOOLS, 'for each in where or [""]', "for each in where", "without a path it is here"),
    Mutant("hook-all-proxied", _SERVE, " and named in profile.proxied", "", "only a proxied server is left to it"),
    Mutant(
        "hook-pending-runs",
        _SERVE,
        "if not decision.allowed:",
        'if decision.effect == "deny":',
        "pending is no allow",
    ),
    Mutant(
        "hook-overwrites", _INSTALL, "except (ValueError, OSError):", "except OSError:", "broken settings are kept"
    ),
    Mutant(
        "hook-http-allows",
        _LISTENER,
        "if decision.allowed and not decision.obligations:",
        "if decision.effect != 'deny':",
        "pending is no allow",
    ),
    Mutant(
        "hook-http-waits",
        _LISTENER,
        "(task,), timeout=hook.seconds)",
        "(task,), timeout=8)",
        "it answers in its time",
    ),
    Mutant(
        "hook-http-budget",
        _LISTENER,
        "question, caller, hook.seconds, self._clock",
        "question, caller, 60, self._clock",
        "the service knows it",
    ),
    Mutant(
        "hook-http-awaits",
        _LISTENER,
        "                task.cancel()\n",
        "                task.cancel()\n                await asyncio.wait((task,))\n",
        "what cannot be stopped is not awaited",
    ),
    Mutant(
        "hook-http-large",
        _LISTENER,
        "super().too_large(call) if hook is None else",
        "super().too_large(call) if hook else",
        "a large event is a block",
    ),
    Mutant(
        "hook-http-empty",
        _WEBHOOKS,
        "return token if token is not None else",
        "return token if token else",
        "an empty token is none's",
    ),
    Mutant(
        "hook-http-any-agent",
        _WEBHOOKS,
        "self.options.agents.get(agent)",
        "self.options.agents.get(agent, agent)",
        "agents are configured",
    ),
    Mutant(
        "hook-http-version",
        _WEBHOOKS,
        "        if not is_version(request):",
        "        if False:",
        "another version is not read",
    ),
    Mutant("hook-http-tenant", _WEBHOOKS, "_GUID.fullmatch(tenant) is None", "False", "an issuer is made of a GUID"),
    Mutant("hook-http-form", _WEBHOOKS, '{"blockAction": True, ', '{"blockAction": False, ', "a block blocks"),
    Mutant("caller-any-client", "pdp/identity/principals.py", "(not named or any(", "(any(", "the client is named"),
    Mutant(
        "caller-shared-audience",
        "pdp/identity/options.py",
        "frozenset(own if self",
        "frozenset(() if self",
        "no subject's token is a caller's",
    ),
)
