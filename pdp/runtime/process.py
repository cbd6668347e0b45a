"""One running PDP: its wired parts, and what they are closed by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pdp.content import ArgumentContent
from pdp.core.ports import Judge, RenewedSecret
from pdp.decide.commit import Recorder
from pdp.decide.shadow import ShadowPolicies
from pdp.decide.state import ServiceState
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
from pdp.runtime.renewal import server_tls, signers_keys
from pdp.runtime.signed_log import WiredLog, renewed_key
from pdp.store.clock import StoreClock
from pdp.store.opening import AnyStore
from pdp.wire.grpc.server import GrpcServer
from pdp.wire.grpc.servicer import Services

if TYPE_CHECKING:
    from pdp.sessions.on_redis import RedisSessions


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
    signed: WiredLog | None
    index: SearchIndex | None
    redis: RedisSessions | None
    shadows: ShadowPolicies
    content: ArgumentContent
    secrets_read: tuple[str, ...] = ()  # names of settings

    def begin_renewal(self, read: set[str]) -> None:
        """From here on secrets are read again when their files change. `read` names the settings whose secrets were
        read to get here, for the record of the start."""
        options, tls = self.settings.server.tls, self.server.tls
        files = [] if options is None or tls is None else [server_tls(options, tls)]
        parts: list[RenewedSecret] = [*files, *(each for part in self.background.parts for each in part.renews)]
        log_key = None
        if self.signed is not None:
            log_key = renewed_key(self.settings, self.signed, self.store, self.recorder, self.clock)
        signers = signers_keys(self.settings, self.registry, self.levels.releases)
        found = (*parts, log_key, *signers)
        self.reloads.secrets = tuple(each for each in found if each is not None)
        self.secrets_read = tuple(sorted({*read, *(each.name for each in parts)}))
