"""What an operator sees and does: status and switches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace

from pdp.core.digest import Json, canonical, keyed_index
from pdp.core.errors import Forbidden, InvalidRequest
from pdp.core.request import Caller
from pdp.core.stored import RecordRef, ReplyRow, SwitchRow
from pdp.core.switches import SCOPES, ended
from pdp.ports import Clock, Registry, Store, Subjects
from pdp.service.record import Recorder
from pdp.service.reload import Failure, Reloads
from pdp.service.state import State

KIND = "switch"  # of a kept answer
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
    request_id: str = ""  # without one, every attempt is a new one


@dataclass(frozen=True, slots=True)
class Switched:
    """A switch that is durable. `epoch` is the store's with it."""

    row: SwitchRow
    epoch: int
    ref: RecordRef


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
    directories: Mapping[str, Json]
    switches: tuple[SwitchRow, ...]
    switch_epoch: int
    log: str
    records: int
    store_bytes: int  # on disk
    worker_deaths: int  # of the policy engine's, since the start
    healthy: bool  # records can be written


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
    index_key: bytes
    worker_deaths: Callable[[], int] = lambda: 0
    draining: bool = False
    _one_switch: asyncio.Lock = field(default_factory=asyncio.Lock)  # so that the epoch is that of the switch

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
                "packs": [about.fact() for about in policy.about],
                "workers": policy.engine.workers,
                "engine": policy.engine.name,
                "engine_version": policy.engine.version,
                "since_ns": self.reloads.policy_since_ns,
            },
            policy_failure=self.reloads.policy_failure,
            registry=self.registry.status(at),
            keys=self.subjects.key_status(at),
            directories=self.reloads.directories.status(at) if self.reloads.directories else {},
            switches=self._engaged(at),
            switch_epoch=self.store.switch_epoch(),
            log=self.store.origin,
            records=self.store.size(),
            store_bytes=self.store.size_bytes(),
            worker_deaths=self.worker_deaths(),
            healthy=healthy,
        )

    async def set_switch(self, ask: SwitchAsk, caller: Caller) -> Switched:
        """Store and record one switch; whatever is decided from then on obeys it.

        The same request id with the same content gets the same answer, as long as the switch still is as it was
        set then: that something is stopped must never be said of what is not.

        Raises InvalidRequest, Forbidden, Unavailable."""
        # a caller that goes away must not free the place of a write that goes on: it may come back with the same id
        setting = asyncio.ensure_future(self._set_switch(ask, caller))
        setting.add_done_callback(lambda done: done.cancelled() or done.exception())  # somebody has looked
        return await asyncio.shield(setting)

    async def _set_switch(self, ask: SwitchAsk, caller: Caller) -> Switched:
        async with self._one_switch:
            at = self.clock.now_ns()
            row = self._row(ask, caller, at)
            key = keyed_index(self.index_key, "switch", caller.tenant, caller.name, ask.request_id)
            content = keyed_index(self.index_key, "switch content", *(getattr(ask, f.name) for f in fields(ask)))
            kept = self.store.reply(key) if ask.request_id else None
            if kept is not None:
                return self._again(kept, content, row)
            self._check_known(row, at)
            epoch = self.store.switch_epoch() + 1

            def reply(record_id: str) -> ReplyRow:
                return ReplyRow(key, content, KIND, "", canonical([epoch, record_id]), "", 0, at)

            ref = await self.recorder.switch(row, at, reply if ask.request_id else None)
            return Switched(row, epoch, ref)

    def _again(self, kept: ReplyRow, content: str, row: SwitchRow) -> Switched:
        """What was answered to this id. Raises InvalidRequest for other content, or when that is no longer true."""
        if kept.content != content:
            raise InvalidRequest(
                "request_id", "was used for another switch; use a new id for a new request", code="request.reused"
            )
        row = replace(row, at_ns=kept.created_ns)
        acts = next((r for r in self._engaged(row.at_ns) if _place(r) == _place(row)), None)
        if acts != (row if row.engaged else None):
            raise InvalidRequest(
                "request_id", "was used, and the switch was set anew since; use a new id", code="request.reused"
            )
        epoch, record_id = json.loads(kept.reply)
        return Switched(row, epoch, self.recorder.find(record_id))

    def _engaged(self, at_ns: int) -> tuple[SwitchRow, ...]:
        """Those that act; one that has released itself is none, whether or not it was swept out yet."""
        return tuple(row for row in self.store.switches() if not ended(row.until_ns, at_ns))

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


def _place(row: SwitchRow) -> tuple[str, str, str, str]:
    """What a switch stops; there is one switch for it at a time."""
    return row.tenant, row.scope, row.server, row.value
