"""The foundation of a process: what each of its parts may rest on."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.ports import Store
from pdp.core.ports.telemetry import Telemetry
from pdp.decide.commit import Recorder
from pdp.decide.state import ServiceState
from pdp.runtime.config.settings import Settings
from pdp.runtime.environment import Environment
from pdp.store.clock import StoreClock
from pdp.store.opening import AnyStore


@dataclass(kw_only=True)
class Foundation:
    """`measured` is the store whose stages are traced; `store` the same without."""

    settings: Settings
    environment: Environment
    store: AnyStore
    measured: Store
    telemetry: Telemetry
    index_key: bytes
    clock: StoreClock
    state: ServiceState
    recorder: Recorder
