"""What an operator sees and does: status, reload, switches. Every change is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from pdp.core.digest import Json
from pdp.core.errors import BundleFault, Fault, Forbidden, InvalidRequest
from pdp.core.request import Caller
from pdp.core.switches import SCOPES
from pdp.ports import Artefact, Clock, PolicySource, RecordRef, Registry, Store, Subjects, SwitchRow
from pdp.service.record import Recorder
from pdp.service.state import State

Part = Literal["policy", "registry", "keys"]
PARTS: tuple[Part, ...] = ("policy", "registry", "keys")
ANY_TENANT = "*"  # an operator's tenant in the configuration: acts on all of them


@dataclass(frozen=True, slots=True)
class Failure:
    """The last thing that went wrong with a part; bland."""

    code: str
    message: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What became of one part."""

    part: Part
    ok: bool
    changed: bool
    active: str
    failure: Failure | None = None


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


class Admin:
    """`AdminService`, and the reloads that run by themselves."""

    def __init__(  # noqa: PLR0913 - its collaborators, wired once by bootstrap
        self,
        state: State,
        policies: PolicySource,
        registry: Registry,
        subjects: Subjects,
        reload_keys: Callable[[int], Awaitable[None]],
        store: Store,
        recorder: Recorder,
        clock: Clock,
        version: str,
    ) -> None:
        self._state = state
        self._policies = policies
        self._registry = registry
        self._subjects = subjects
        self._reload_keys = reload_keys
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._version = version
        self._policy_failure: Failure | None = None
        self._policy_since = 0
        self._lock = asyncio.Lock()  # one reload at a time
        self.draining = False

    async def status(self) -> Status:
        """What runs now; changes nothing."""
        at, policy = self._clock.now_ns(), self._state.policy
        healthy = self._store.healthy()
        serving = "draining" if self.draining else "serving" if healthy and policy else "not_serving"
        return Status(
            version=self._version,
            boot=self._recorder.boot,
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
                "since_ns": self._policy_since,
            },
            policy_failure=self._policy_failure,
            registry=self._registry.status(at),
            keys=self._subjects.key_status(at),
            switches=self._store.switches(),
            switch_epoch=self._store.switch_epoch(),
            log=self._store.origin,
            records=self._store.size(),
        )

    async def reload(self, parts: tuple[Part, ...], by: str) -> tuple[tuple[Reloaded, ...], RecordRef | None]:
        """Read the parts again (all, when empty). What does not pass its checks is not activated.

        Each change is recorded by itself; a reload that somebody asked for is recorded too (`by` not empty).
        """
        run = {"policy": self._reload_policy, "registry": self._reload_registry, "keys": self._reload_the_keys}
        async with self._lock:
            results = tuple([await run[part]() for part in parts or PARTS])
            ref = None
            if by:
                ref = await self._recorder.reload(by, results, self._clock.now_ns())
            return results, ref

    async def _reload_policy(self) -> Reloaded:
        active = self._state.policy
        at = self._clock.now_ns()
        try:
            loaded = await self._policies.load(active.digest if active else None)
        except BundleFault as fault:
            known, self._policy_failure = self._policy_failure, Failure(fault.code, fault.message, at)
            if known is None or (known.code, known.message) != (fault.code, fault.message):
                await self._recorder.policy_refused(fault, at)
            return Reloaded("policy", False, False, active.digest if active else "", self._policy_failure)
        self._policy_failure = None
        if loaded is None:
            return Reloaded("policy", True, False, active.digest if active else "")
        try:
            # the record comes first: no answer under a policy whose activation is not in the log
            await self._recorder.policy_activated(loaded, Artefact(loaded.digest, "bundle", loaded.artefact), at)
        except Fault:
            await loaded.engine.close()
            raise
        self._state.activate(loaded)
        self._policy_since = at
        return Reloaded("policy", True, True, loaded.digest)

    async def _reload_registry(self) -> Reloaded:
        at = self._clock.now_ns()
        change = await self._registry.reload(at)
        if change is not None:
            await self._recorder.registry(change, at)
        view = self._registry.view(at)
        self._state.pin_registry(view)
        active = f"serial {view.serial}"
        if change is not None and change.problem:
            message = "The set was not taken; `pdp tools verify` says why. The last good one stays for a while."
            return Reloaded("registry", False, False, active, Failure(change.problem, message, at))
        return Reloaded("registry", True, change is not None, active)

    async def _reload_the_keys(self) -> Reloaded:
        at = self._clock.now_ns()
        await self._reload_keys(at)
        return Reloaded("keys", True, False, f"{len(self._subjects.key_status(at))} issuers")

    async def set_switch(self, ask: SwitchAsk, caller: Caller) -> tuple[SwitchRow, int, RecordRef]:
        """Store and record one switch; answers within the second obey it. Raises InvalidRequest, Forbidden."""
        at = self._clock.now_ns()
        row = self._row(ask, caller, at)
        ref = await self._recorder.switch(row, at)
        epoch = self._store.switch_epoch()
        self._state.set_switches(self._store.switches(), epoch)
        return row, epoch, ref

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
