"""Facts with telemetry around their stages; wired only when it is on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from pdp.core.facts import Facts, Identity
from pdp.core.request import Caller, ListAsk, Target
from pdp.core.target import TargetFact
from pdp.ports.telemetry import Telemetry
from pdp.service.decision import Decision
from pdp.service.facts import METHOD_TOOL_CALL, METHOD_TOOL_LIST, FactBuilder
from pdp.service.state import Snapshot


class ObservedFacts(FactBuilder):
    """The stages `facts` and `registry`. Names the tool of a call when it is one that was signed: any other name is
    the caller's own words."""

    def __init__(self, *arguments: Any, telemetry: Telemetry, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._telemetry = telemetry

    @override
    def prepare(self, decision: Decision) -> None:
        with self._telemetry.stage("facts", {"pdp.phase": "call"}):
            super().prepare(decision)

    @override
    def list(
        self,
        ask: ListAsk,
        shown: Mapping[str, bytes],
        caller: Caller,
        identity: Identity,
        snapshot: Snapshot,
        at_ns: int,
    ) -> Facts:
        self._telemetry.note("mcp.method.name", METHOD_TOOL_LIST)
        with self._telemetry.stage("facts", {"pdp.phase": "list"}):
            return super().list(ask, shown, caller, identity, snapshot, at_ns)

    @override
    def _target(self, target: Target, method: str, caller: Caller, snapshot: Snapshot, at_ns: int) -> TargetFact:
        with self._telemetry.stage("registry") as span:
            found = super()._target(target, method, caller, snapshot, at_ns)
            span.set("pdp.check", "ok" if found.check.ok else found.check.code)
        if method == METHOD_TOOL_CALL:
            self._telemetry.note("mcp.method.name", method)
            self._telemetry.note("gen_ai.operation.name", "execute_tool")
        if found.check.ok:
            self._telemetry.note("gen_ai.tool.name", found.name)
        return found
