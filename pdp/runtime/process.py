"""One running PDP: its wired parts, and what they are closed by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pdp.content import ArgumentContent
from pdp.core.ports import Judge
from pdp.decide.commit import Recorder
from pdp.decide.shadow import ShadowPolicies
from pdp.decide.state import ServiceState
from pdp.host.http_listener import HttpListener
from pdp.identity.authentication import Authentication
from pdp.operate.admin import Admin
from pdp.operate.quorum import QuorumRecords
from pdp.operate.reload import Reloads
from pdp.operate.runs import Runs
from pdp.policy.source import Host
from pdp.proof.index import SearchIndex
from pdp.proof.pushes import Pushes
from pdp.proof.search import Readings
from pdp.registry.load import SignedRegistry
from pdp.runtime.approvals import WiredApprovals
from pdp.runtime.background import Supervisor
from pdp.runtime.config.settings import Settings
from pdp.runtime.instruments import Levels
from pdp.runtime.renewal import RenewedFiles, signers_keys, tls_files
from pdp.runtime.security_events import WiredSignals
from pdp.runtime.signed_log import WiredLog, renewed_key
from pdp.store.clock import StoreClock
from pdp.store.opening import AnyStore
from pdp.wire.grpc.server import GrpcServer
from pdp.wire.grpc.servicer import Services

if TYPE_CHECKING:
    from pdp.people.console.server import ConsoleServer
    from pdp.sessions.on_redis import RedisSessions
    from pdp.wire.hooks.listener import HookListener


@dataclass(slots=True)
class Process:
    """One running PDP: everything wired."""

    settings: Settings
    state: ServiceState
    store: AnyStore
    clock: StoreClock
    identity: Authentication
    registry: SignedRegistry
    host: Host
    recorder: Recorder
    runs: Runs
    reloads: Reloads
    admin: Admin
    services: Services
    server: GrpcServer
    levels: Levels
    approvals: WiredApprovals
    judge: Judge | None
    readings: Readings
    pushes: Pushes
    quorum: QuorumRecords
    background: Supervisor
    console: ConsoleServer | None
    signed: WiredLog | None
    index: SearchIndex | None
    redis: RedisSessions | None
    signals: WiredSignals | None
    hooks: HookListener | None
    authzen: HttpListener | None
    shadows: ShadowPolicies
    content: ArgumentContent
    secrets_read: tuple[str, ...] = ()  # names of settings

    def begin_renewal(self, read: set[str]) -> None:
        """From here on secrets are read again when their files change. `read` names the settings whose secrets were
        read to get here, for the record of the start."""
        named: dict[str, HttpListener | None] = {"hooks": self.hooks, "authzen": self.authzen}
        named["signals"] = self.signals.listener if self.signals is not None else None
        tls = tuple(tls_files(self.settings, self.server, self.console, named))
        log_key = None
        if self.signed is not None:
            log_key = renewed_key(self.settings, self.signed, self.store, self.recorder, self.clock)
        signers = signers_keys(self.settings, self.registry, self.levels.releases)
        found: list[RenewedFiles | None] = [*tls, log_key, *signers]
        self.reloads.secrets = tuple(each for each in found if each is not None)
        self.secrets_read = tuple(sorted({*read, *(each.name for each in tls)}))
