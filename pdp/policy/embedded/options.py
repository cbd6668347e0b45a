"""Sizes and times of the embedded engine, and what it counts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pdp.core.errors import ConfigurationFault
from pdp.policy.embedded.worker import Caps
from pdp.policy.embedded.zygote import ZygoteOptions

_MEMORY = 1 << 30
_FRAME_OVERHEAD = 1 << 16
_TARGETS = 100  # of a list, that are looked at in the time that a call has
_LONGEST = 6  # times that; stays below `patience_ms` by default


def default_workers() -> int:
    """One policy worker per spare core, at least one."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable - 1)


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Sizes and times of a pool."""

    deadline_ms: int = 250  # for one evaluation, from the moment a worker starts it; see `seconds`
    patience_ms: int = 2000  # for an answer, all waiting included
    linger_ms: float = 2.0  # at most 2, after a batch of several; never when idle
    batch_items: int = 32
    batch_bytes: int = 8 << 20
    queue_items: int = 1024
    queue_bytes: int = 64 << 20
    # Documents. What a call brings is bounded before (`content.max_arguments_bytes`: 2 MiB at most), and takes up to
    # three times its size here, where all but ASCII is escaped; so these are never met by what a caller sends.
    call_bytes: int = 8 << 20
    list_bytes: int = 8 << 20
    attempts: int = 3  # an item whose worker died while another item was in progress is evaluated again

    def cap(self, phase: str) -> int:
        """The largest document of a phase, in bytes."""
        return self.call_bytes if phase == "call" else self.list_bytes

    def seconds(self, targets: int) -> float:
        """The deadline for a question about so many targets: a long list has more to look at than a call, and whoever
        lists many tools must not cost a worker by it."""
        return self.deadline_ms / 1000 * min(_LONGEST, max(1.0, targets / _TARGETS))


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """Options of an `EngineHost`. `environment` is what policy processes see of the environment: nothing unless the
    interpreter needs something (such as `LD_LIBRARY_PATH`) to start. Raises ConfigurationFault."""

    workers: int = field(default_factory=default_workers)
    pool: PoolOptions = field(default_factory=PoolOptions)
    memory_bytes: int = _MEMORY  # of address space, per process
    load_seconds: float = 10.0  # for a bundle
    depth: int = 64  # of nesting in an input document
    answer_bytes: int = 8 << 20
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        bounds = {
            "workers": (self.workers, 1, 256),
            "deadline_ms": (self.pool.deadline_ms, 1, 60_000),
            "patience_ms": (self.pool.patience_ms, 1, 60_000),
            "linger_ms": (self.pool.linger_ms, 0, 2),
            "batch_items": (self.pool.batch_items, 1, 1024),
            "depth": (self.depth, 1, 64),
        }
        for name, (value, low, high) in bounds.items():
            if not low <= value <= high:
                raise ConfigurationFault("config.range", f"engine.{name} must be from {low} to {high}.")

    @property
    def zygote(self) -> ZygoteOptions:
        """What a zygote is told."""
        pool = self.pool
        caps = Caps(
            depth=self.depth,
            answer_bytes=self.answer_bytes,
            batch_bytes=pool.batch_bytes + max(pool.call_bytes, pool.list_bytes) + _FRAME_OVERHEAD,
            alarm_seconds=max(1.0, (_LONGEST + 2) * pool.deadline_ms / 1000),
        )
        return ZygoteOptions(self.memory_bytes, self.load_seconds, caps)

    @property
    def reply_bytes(self) -> int:
        """The longest frame that a worker may send."""
        return self.pool.batch_items * (self.answer_bytes + 64) + _FRAME_OVERHEAD


@dataclass(slots=True)
class Counters:
    """What has happened so far, for metrics. `kills` counts workers, by any cause, that ended before `close`."""

    items: int = 0
    batches: int = 0
    kills: int = 0
    timeouts: int = 0
    crashes: int = 0
    mismatches: int = 0
    reruns: int = 0
    zygote_restarts: int = 0
