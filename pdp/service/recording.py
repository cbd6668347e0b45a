"""What the record of one answer is made of."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.facts import Facts
from pdp.core.record import Pins
from pdp.core.request import Ask, Caller, ListAsk
from pdp.service.evaluate import Evaluated
from pdp.service.facts import CallContext
from pdp.service.state import Snapshot


@dataclass(frozen=True, slots=True)
class Recording:
    """What one decision was made of."""

    ask: Ask
    caller: Caller
    call: CallContext
    found: Evaluated
    snapshot: Snapshot
    at_ns: int
    request: str | None  # keyed HMAC of what was asked, when it may be repeated
    salt: bytes  # for the commitment to the input document


@dataclass(frozen=True, slots=True)
class ListRecording:
    """What one filtered list was made of."""

    ask: ListAsk
    caller: Caller
    facts: Facts
    found: Evaluated
    snapshot: Snapshot
    at_ns: int
    subject_index: str


def pins(snapshot: Snapshot, tenant: str) -> Pins:
    """The versions that an answer rests on."""
    policy = snapshot.policy
    return Pins(
        revision=policy.revision,
        policy_digest=policy.digest,
        engine=policy.engine.name,
        engine_version=policy.engine.version,
        org_digest=policy.org_digest,
        registry_serial=snapshot.registry.serial(tenant),
        registry_digest=snapshot.registry.digest(tenant),
        switch_epoch=snapshot.switches.epoch,
    )
