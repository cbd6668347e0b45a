"""Telemetry's wiring: what is put around the ports, and how things stand. Off, everything stays as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pdp.core.approvals.queries import ApprovalQuery, Page
from pdp.core.approvals.states import OPEN
from pdp.core.check import NS
from pdp.core.switches import ended
from pdp.ports import Callers, Content, PolicySource, Registry, Store, Subjects
from pdp.service.establish import Establish
from pdp.service.observed import ObservedEstablish
from pdp.settings import Settings
from pdp.signals import SILENT, Telemetry
from pdp.store.opening import AnyStore
from pdp.telemetry.options import distribution_missing
from pdp.tooling.config_secrets import secret

log = logging.getLogger("pdp")


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that have stages of their own."""

    callers: Callers
    subjects: Subjects
    content: Content
    store: Store
    policies: PolicySource


def telemetry(settings: Settings, monotonic: Callable[[], int], instance: str) -> Telemetry:
    """As configured; `SILENT` when it is off. Raises ConfigurationFault."""
    if not settings.telemetry.enabled:
        return SILENT
    found: Telemetry = _sdk().exporting(
        settings.telemetry, monotonic=monotonic, instance=instance, secret=_secrets(settings)
    )
    return found


def check(settings: Settings) -> None:
    """Read what the settings name, and open nothing. Raises ConfigurationFault."""
    if settings.telemetry.enabled:
        sdk = _sdk()
        if settings.telemetry.otlp is not None:
            sdk.collector(settings.telemetry.otlp, _secrets(settings))


def _sdk() -> Any:
    try:
        from pdp.telemetry import exporting  # noqa: PLC0415 - an extra, and nothing for those who do without
    except ImportError:
        raise distribution_missing() from None
    return exporting


def _secrets(settings: Settings) -> Callable[[str], bytes]:
    def resolve(reference: str) -> bytes:
        return secret(reference, settings.vault, where="telemetry.otlp.headers", at_least=1)

    return resolve


def observed(telemetry: Telemetry, ports: Ports, store: AnyStore) -> Ports:
    """The same ports, with their stages told."""
    if telemetry is SILENT:
        return ports
    from pdp.telemetry import observed as around  # noqa: PLC0415 - see above

    store.observe(lambda entries: telemetry.measure("pdp.commit.batch", entries))
    # what is not observed goes through by __getattr__, which no type checker follows
    return Ports(
        callers=cast("Callers", around.ObservedCallers(ports.callers, telemetry)),
        subjects=cast("Subjects", around.ObservedSubjects(ports.subjects, telemetry)),
        content=cast("Content", around.ObservedContent(ports.content, telemetry)),
        store=cast("Store", around.ObservedStore(ports.store, telemetry)),
        policies=cast("PolicySource", around.ObservedPolicies(ports.policies, telemetry)),
    )


def establishing(telemetry: Telemetry, *arguments: Any, **more: Any) -> Establish:
    """An `Establish`, with its stages told."""
    if telemetry is SILENT:
        return Establish(*arguments, **more)
    return ObservedEstablish(*arguments, telemetry=telemetry, **more)


@dataclass(slots=True)
class Losses:
    """For engines: says and counts that a policy worker was lost, and why."""

    telemetry: Telemetry
    count: int = 0  # since the start

    def __call__(self, why: str) -> None:
        self.count += 1
        log.error("policy worker lost: %s", why)
        self.telemetry.count("pdp.policy.workers.lost", {"pdp.cause": why})


@dataclass(slots=True)
class Levels:
    """Tells how things stand, once in a while, on the event loop: no other thread looks into them."""

    telemetry: Telemetry
    store: Store
    registry: Registry
    subjects: Subjects
    policy_since: Callable[[], int | None]  # Unix nanoseconds; None without a policy
    tenants: tuple[str, ...] = ()

    def tell(self, at_ns: int) -> None:
        """Set every level."""
        if self.telemetry is SILENT:
            return
        level, since = self.telemetry.level, self.policy_since()
        level("pdp.store.healthy", int(self.store.healthy()))
        level("pdp.store.records", self.store.size())
        level("pdp.switches.engaged", sum(not ended(row.until_ns, at_ns) for row in self.store.switches()))
        level("pdp.policy.active", int(since is not None))
        if since is not None:
            level("pdp.policy.age", max(0, at_ns - since) / NS)
        for tenant in self.tenants:
            self._people(tenant, at_ns)
        for tenant, state in _entries(self.registry.status(at_ns)):
            self._registry(tenant, state)
        for issuer, state in _entries(self.subjects.key_status(at_ns)):
            level("pdp.keys", state["keys"], {"pdp.issuer": issuer})
            level("pdp.keys.age", state["age_seconds"], {"pdp.issuer": issuer})

    def _people(self, tenant: str, at_ns: int) -> None:
        own = {"pdp.tenant": tenant}
        self.telemetry.level("pdp.approval.open", self.store.open_count(tenant, "")[1], own)
        oldest = self.store.approvals(ApprovalQuery(tenant, states=OPEN), Page(1))
        age = max(0, at_ns - oldest[0].opened_ns) / NS if oldest else 0
        self.telemetry.level("pdp.approval.age", age, own)

    def _registry(self, tenant: str, state: Mapping[str, Any]) -> None:
        own = {"pdp.tenant": tenant}
        if state["age_seconds"] is not None:
            self.telemetry.level("pdp.registry.age", state["age_seconds"], own)
        self.telemetry.level("pdp.registry.tools", state["tools"] - len(state["refused"]), own)
        self.telemetry.level("pdp.registry.problem", int(bool(state["problem"])), own)


def _entries(status: Mapping[str, Any]) -> Any:
    return status.items()
