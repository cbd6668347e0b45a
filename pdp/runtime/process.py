"""One running PDP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pdp.content import ArgumentContent
from pdp.core.ports import Judge
from pdp.decide.commit import Recorder
from pdp.decide.shadow import ShadowPolicies
from pdp.decide.state import ServiceState
from pdp.operate.admin import Admin
from pdp.operate.reload import Reloads
from pdp.operate.runs import Runs
from pdp.policy.source import Host
from pdp.proof.index import SearchIndex
from pdp.proof.pushes import Pushes
from pdp.proof.search import Readings
from pdp.runtime.approvals import WiredApprovals
from pdp.runtime.background import Supervisor
from pdp.runtime.config.settings import Settings
from pdp.runtime.instruments import Levels
from pdp.runtime.signed_log import WiredLog
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
    background: Supervisor
    signed: WiredLog | None
    index: SearchIndex | None
    redis: RedisSessions | None
    shadows: ShadowPolicies
    content: ArgumentContent
    secrets_read: tuple[str, ...] = ()  # names of settings
