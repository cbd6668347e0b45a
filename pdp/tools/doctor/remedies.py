"""What to change where in a caller that carried a tool out though no valid allow had come."""

from __future__ import annotations

from collections.abc import Mapping

ANY = "any"
# by kind of caller, then by way of answering; `any` is for the ways without a line of their own
REMEDIES: Mapping[str, Mapping[str, str]] = {
    "own": {
        "deny": "In your code: carry a tool out only where `decision.allowed` is true.",
        "late": "In your code: compare `valid_until` with the clock just before the tool runs.",
        "unknown": "In your code: compare the effect with EFFECT_ALLOW; never ask whether it is a denial.",
        "empty": "In your code: compare the effect with EFFECT_ALLOW; an empty message has EFFECT_UNSPECIFIED.",
        "withheld": "In your code: give every question a deadline, and let its end deny.",
        ANY: "In your code: an exception of the question ends the call; nothing behind `except` may run the tool.",
    },
    "authzen": {
        "empty": "In the enforcement point: permit only where `decision` is there, and is the boolean true.",
        "unknown": "In the enforcement point: compare `decision` with the boolean true; a text that says so is none.",
        "error": "In the enforcement point: look at the status first; what has another than 200 is no answer.",
        "withheld": "In the enforcement point: give every question a deadline, and let its end deny.",
        ANY: "In the enforcement point: permit only on a 200 whose `decision` is true; an exception ends the call.",
    },
    "envoy": {
        "deny": "envoy.yaml: put `envoy.filters.http.ext_authz` before the router, on every route, "
        "without `disabled: true` and with `filter_enabled` at 100 %.",
        "empty": "An empty CheckResponse is OK by Envoy's contract, and no setting changes that. Let nothing but the "
        "decision point answer: `transport_socket` with TLS and `match_typed_subject_alt_names` on its cluster.",
        ANY: "envoy.yaml: `failure_mode_allow: false` in `envoy.filters.http.ext_authz`.",
    },
    "agentgateway": {
        "deny": "config.yaml: `mcpGuardrails.processors[].methods` must name `tools/call: request`.",
        ANY: "config.yaml: `mcpGuardrails.processors[].failureMode: failClosed`; for ext_authz `failureMode: deny`.",
    },
    "middleware": {
        "deny": "In the server: `attach(server, Enforcement(...))` on the very server that is served, after all "
        "other middleware and before it runs.",
        ANY: "In the server: leave `Enforcement` as it is; no code around it may turn its errors into calls.",
    },
    "proxy": {
        "deny": "In the agent's list of MCP servers: start `pdp proxy ... -- COMMAND` instead of COMMAND, and leave "
        "no entry or address by which the server is reached past it.",
        ANY: "Update the package: the proxy denies whatever is not plainly an allow.",
    },
    "framework": {
        "deny": "In the agent: give each of its tools to the guard, last of all middleware, plugins, interventions; "
        "no tool may be of a kind that the framework or its provider runs by itself.",
        ANY: "In the agent: leave the guard's module as it is; no code around it may turn its refusals into calls.",
    },
    "cpex": {
        "deny": "In the gateway's plugins: `mode: sequential`, both hooks and no `conditions` for the plugin, and "
        "PLUGINS_ENABLED and PLUGINS_FAIL_ON_PLUGIN_ERROR true.",
        ANY: "In the gateway's plugins: `on_error: fail` for the plugin, whose `timeout` is below "
        "PLUGINS_PLUGIN_TIMEOUT.",
    },
    "hook": {
        "deny": "In the agent's settings: `pdp hook install AGENT` again, and leave no tool out by a matcher.",
        ANY: "In the agent's settings: keep `onFailure: block` or `failClosed: true`, and a timeout longer than the "
        "command's `--within`: `pdp hook install AGENT` writes them.",
    },
}


def remedy(caller: str, way: str) -> str:
    """The setting that mends it. Every kind of caller has one for every way."""
    of_caller = REMEDIES[caller]
    return of_caller.get(way, of_caller[ANY])
