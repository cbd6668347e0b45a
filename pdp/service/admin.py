"""What an operator sees and does: status and switches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pdp.core.digest import Json
from pdp.core.errors import Forbidden, InvalidRequest
from pdp.core.request import Caller
from pdp.core.stored import RecordRef, SwitchRow
from pdp.core.switches import SCOPES
from pdp.ports import Clock, Registry, Store, Subjects
from pdp.service.record import Recorder
from pdp.service.reload import Failure, Reloads
from pdp.service.state import State

ANY_TENANT = "*"  # an operator's tenant in the configuration: acts on all of them


@dataclass(frozen=True, slots=True)
class SwitchAsk:
    """A switch as an operator asks for it."""

    scope: str
    server: str
    value: str
    engaged: bool
    reason: str
    until_ns: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """The state of this process."""

    version: str
    boot: str
    at_ns: int
    serving: str  # "starting" | "serving" | "not_serving" | "draining"
    policy: Mapping[str, Json] | None
    policy_failure: Failure | None
    registry: Mapping[str, Json]
    keys: Mapping[str, Json]
    switches: tuple[SwitchRow, ...]
    switch_epoch: int
    log: str
    records: int


@dataclass(slots=True)
class Admin:
    """`AdminService` but for reloads, which `reload.Reloads` does."""

    state: State
    reloads: Reloads
    registry: Registry
    subjects: Subjects
    store: Store
    recorder: Recorder
    clock: Clock
    version: str
    draining: bool = False

    async def status(self) -> Status:
        """What runs now; changes nothing."""
        at, policy = self.clock.now_ns(), self.state.policy
        healthy = self.store.healthy()
        serving = "draining" if self.draining else "serving" if healthy and policy else "not_serving"
        return Status(
            version=self.version,
            boot=self.recorder.boot,
            at_ns=at,
            serving=serving,
            policy=None
            if policy is None
            else {
                "revision": policy.revision,
                "digest": policy.digest,
                "org_digest": policy.org_digest,
                "packs": list(policy.packs),
                "engine": policy.engine.name,
                "engine_version": policy.engine.version,
                "since_ns": self.reloads.policy_since_ns,
            },
            policy_failure=self.reloads.policy_failure,
            registry=self.registry.status(at),
            keys=self.subjects.key_status(at),
            switches=self.store.switches(),
            switch_epoch=self.store.switch_epoch(),
            log=self.store.origin,
            records=self.store.size(),
        )

    async def set_switch(self, ask: SwitchAsk, caller: Caller) -> tuple[SwitchRow, int, RecordRef]:
        """Store and record one switch; whatever is decided from then on obeys it.

        Raises InvalidRequest, Forbidden, Unavailable."""
        at = self.clock.now_ns()
        row = self._row(ask, caller, at)
        self._check_known(row, at)
        ref = await self.recorder.switch(row, at)
        return row, self.store.switch_epoch(), ref

    def _check_known(self, row: SwitchRow, at_ns: int) -> None:
        """A misspelt name would stop nothing while everybody believes that it did. Raises InvalidRequest."""
        registry = self.registry.view(at_ns)
        if not row.engaged or not row.server or not row.tenant or not registry.serial(row.tenant):
            return
        tools = registry.tools(row.tenant, row.server)
        if not tools and registry.server(row.tenant, row.server, at_ns).check.code == "server.unknown":
            raise InvalidRequest("switch.server", "no server of that id is registered; see the signed set")
        if row.scope == "tool" and row.value not in tools:
            raise InvalidRequest("switch.value", "the server has no tool of that name in the signed set")

    @staticmethod
    def _row(ask: SwitchAsk, caller: Caller, at_ns: int) -> SwitchRow:
        if ask.scope not in SCOPES:
            raise InvalidRequest("switch.scope", f"must be one of {', '.join(SCOPES)}")
        wants_server = ask.scope in ("server", "tool")
        wants_value = ask.scope in ("tool", "agent", "subject")
        if wants_server != bool(ask.server):
            raise InvalidRequest("switch.server", f"must {'' if wants_server else 'not '}be set for this scope")
        if wants_value != bool(ask.value) and ask.scope != "tenant":
            raise InvalidRequest("switch.value", f"must {'' if wants_value else 'not '}be set for this scope")
        if ask.until_ns and ask.until_ns <= at_ns:
            raise InvalidRequest("switch.until", "is in the past")
        everywhere = caller.tenant == ANY_TENANT
        if ask.scope == "everything" and not everywhere:
            raise Forbidden(
                "caller.tenant", 'Only an operator of every tenant (tenant: "*") may switch everything off.'
            )
        tenant = "" if everywhere else caller.tenant
        value = ask.value
        if ask.scope == "tenant":
            if everywhere != bool(value) and value != caller.tenant:
                raise Forbidden("caller.tenant", "An operator switches off its own tenant, or names one.")
            value = value or caller.tenant
        return SwitchRow(
            tenant=tenant,
            scope=ask.scope,
            server=ask.server,
            value=value,
            engaged=ask.engaged,
            reason=ask.reason[:1000],
            by=caller.name,
            at_ns=at_ns,
            until_ns=ask.until_ns,
        )
