"""Wiring of shadow policies: a source for each, and a host of engines that the active policy has no part in."""

from __future__ import annotations

import logging
from dataclasses import replace

from pdp.core.ports import Clock
from pdp.core.ports.telemetry import Telemetry
from pdp.decide.commit import Recorder
from pdp.decide.shadow import ShadowPolicies
from pdp.policy.bundle import shipped_rego
from pdp.policy.embedded.engine import EngineHost
from pdp.policy.source import FolderSource
from pdp.runtime.config.settings import Settings
from pdp.runtime.environment import Environment

log = logging.getLogger("pdp.policy")


def shadows(
    settings: Settings, environment: Environment, recorder: Recorder, clock: Clock, telemetry: Telemetry
) -> ShadowPolicies:
    """The configured shadows, none loaded yet. Each has one worker of the embedded engine, under the limits of
    `policy`, whichever engine decides; past the same load gate, both answer alike."""
    host = EngineHost(replace(settings.policy.embedded(), workers=1), on_kill=_lost)
    sources = {
        name: FolderSource(host, shipped_rego(), folder, environment.gate)
        for name, folder in settings.policy.shadow.items()
    }
    return ShadowPolicies(sources, recorder, clock, settings.service.watch_seconds, host.close, telemetry)


def _lost(why: str) -> None:
    log.error("shadow: policy worker lost: %s", why)
