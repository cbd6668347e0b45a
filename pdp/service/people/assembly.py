"""Everything that people do, wired once for all surfaces."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.ports import Clock, Directories, Store, Subjects
from pdp.service.people.consents import Consents
from pdp.service.people.delegations import Delegations
from pdp.service.people.granted import Grants
from pdp.service.people.persons import Persons
from pdp.service.people.queue import Queue
from pdp.service.people.sweep import Sweep
from pdp.service.people.voting import Voting
from pdp.service.people.watching import Changes, Watching
from pdp.service.record import Recorder
from pdp.service.state import State


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of what people may leave behind."""

    consent_max_ns: int = 180 * 24 * 3600 * 1_000_000_000
    delegation_max_ns: int = 30 * 24 * 3600 * 1_000_000_000
    claims_max_age_ns: int = 24 * 3600 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class People:
    """The services for people. Every surface gets this one value."""

    persons: Persons
    queue: Queue
    voting: Voting
    watching: Watching
    changes: Changes
    grants: Grants
    consents: Consents
    delegations: Delegations
    sweep: Sweep


def assemble(  # noqa: PLR0913 - what they rest on
    store: Store,
    state: State,
    directories: Directories,
    subjects: Subjects,
    recorder: Recorder,
    clock: Clock,
    *,
    index_key: bytes,
    bounds: Bounds,
    tenants: tuple[str, ...],
    changes: Changes,
) -> People:
    """Wire them. `tenants` are those that requests may belong to; `changes` is the hub that `recorder` wakes."""
    raise NotImplementedError
