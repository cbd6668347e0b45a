"""Everything that people do, wired once for all surfaces."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.approvals.grants import Valid
from pdp.core.approvals.notices import UNTOLD, Telling
from pdp.core.check import NS
from pdp.ports import Clock, Directories, Passkeys, Store, Subjects
from pdp.ports.telemetry import SILENT, Telemetry
from pdp.service.approvals.approver_metrics import Attention
from pdp.service.approvals.canaries import Canaries
from pdp.service.approvals.changes import Changes
from pdp.service.approvals.consents import Consents
from pdp.service.approvals.delegations import Delegations
from pdp.service.approvals.evidence import Counting
from pdp.service.approvals.expiry import Sweep
from pdp.service.approvals.grants import Grants
from pdp.service.approvals.persons import Persons
from pdp.service.approvals.queue import Queue
from pdp.service.approvals.retry import Attempts
from pdp.service.approvals.visibility import Looking
from pdp.service.approvals.votes import Proofs, Voting
from pdp.service.approvals.watch import Watching
from pdp.service.commit import Recorder
from pdp.service.state import State

DAY_NS = 24 * 3600 * NS


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long what people leave behind may last."""

    consent_ns: int = 180 * DAY_NS
    delegation_ns: int = 30 * DAY_NS


@dataclass(frozen=True, slots=True)
class People:
    """The services for people. Every surface gets this one value."""

    directories: Directories
    persons: Persons
    queue: Queue
    voting: Voting
    watching: Watching
    changes: Changes
    grants: Grants
    consents: Consents
    canaries: Canaries
    delegations: Delegations
    sweep: Sweep


def assemble(  # noqa: PLR0913 - what they rest on
    store: Store,
    state: State,
    counting: Counting,
    subjects: Subjects,
    recorder: Recorder,
    clock: Clock,
    *,
    index_key: bytes,
    tenants: tuple[str, ...],
    changes: Changes,
    bounds: Bounds,
    valid: Valid | None = None,
    passkeys: Passkeys | None = None,
    telling: Telling = UNTOLD,
    telemetry: Telemetry = SILENT,
) -> People:
    """Wire them. `counting` is what evidence is counted with, so that people see what decides; `tenants` are those
    whose requests are swept; `changes` is the hub that `recorder.changed` notifies; `valid` tells whether arguments
    satisfy a JSON Schema; `telling` who is told of requests; `telemetry` how people decide."""
    directories = counting.directories
    looking = Looking(store, counting)
    attempts = Attempts(store, recorder, index_key)
    attention = Attention(telemetry)
    voting = Voting(
        looking, attempts, recorder, clock, Proofs(passkeys, store), attention, valid=valid, telling=telling
    )
    return People(
        directories=directories,
        persons=Persons(subjects, directories, clock),
        queue=Queue(looking, store, recorder, clock, attention),
        voting=voting,
        watching=Watching(looking, store, changes, clock),
        changes=changes,
        grants=Grants(looking, store, attempts, recorder, clock),
        consents=Consents(looking, store, voting, attempts, recorder, clock, index_key, bounds.consent_ns),
        canaries=Canaries(store, state, attempts, recorder, clock, index_key, telling),
        delegations=Delegations(store, directories, recorder, clock, index_key, bounds.delegation_ns),
        sweep=Sweep(store, state, directories, recorder, tenants, telling, attention),
    )
