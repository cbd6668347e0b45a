"""Quarantine of tools: a tool with an effect that its manifest does not permit is denied to its whole tenant.

It is a switch that no operator sets or releases, in the commit of the inspected result: it reaches every process as a
switch does, and no earlier allow becomes durable after it. Policy decides on it by an obligation `{kind:
"quarantine"}`. People lift it (`people.quarantines`).
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

from pdp.core.bytes.digest import Json, canonical, commitment
from pdp.core.call.switches import QUARANTINE as SCOPE
from pdp.core.call.switches import Switches
from pdp.core.outcome import QUARANTINE
from pdp.core.outcome.elements import SaidElement
from pdp.core.ports.commit import Commit
from pdp.core.record import events
from pdp.core.rows.log import ValueRow
from pdp.core.rows.switches import SwitchRow
from pdp.decide.commit import Recorder

log = logging.getLogger("pdp.registry")
CODE = "result.quarantine"  # the baseline's
PATH = "effects"  # of the erasable value: what was done to what


@dataclass(frozen=True, slots=True)
class EffectReport:
    """The report of one result on its tool: effects that are not permitted, as kind and object, and the reporting
    caller."""

    tenant: str
    server: str
    target: str
    caller: str
    decision: str
    inspection: str
    subject_index: str
    effects: tuple[tuple[str, str], ...]
    at_ns: int


def quarantine(
    recorder: Recorder, report: EffectReport, switches: Switches, elements: tuple[SaidElement, ...]
) -> Commit | None:
    """The entry that quarantines the tool, or that notes a further sighting; None without a cause. It is committed
    with the inspection's."""
    cause = cause_of(elements, report)
    if cause is None:
        return None
    there = switches.quarantined(report.tenant, report.server, report.target)
    salt, record_id = recorder.new_salt(), recorder.new_id(report.at_ns)
    objects: list[Json] = [{"kind": kind, "object": what} for kind, what in report.effects]
    data = canonical(objects)
    change = events.Quarantined(
        "again" if there is not None else "quarantined",
        report.server,
        report.target,
        report.caller,
        report.decision,
        report.inspection,
        *cause,
        Counter(kind for kind, _ in report.effects),
        there.record if there is not None else "",
    )
    sealed = commitment(salt, PATH, data) if objects else None
    value = ValueRow(record_id, report.tenant, report.subject_index, PATH, salt, data)
    entry = recorder.event(
        report.tenant,
        "quarantine",
        lambda stamp: events.quarantine(stamp, change, sealed),
        (_row(report, record_id),),
        report.at_ns,
        values=lambda _: (value,) if objects else (),
        record_id=record_id,
    )
    log.error("quarantine: %s/%s did what it may not do (%s); it is denied", report.server, report.target, cause[0])
    return entry


def cause_of(elements: tuple[SaidElement, ...], report: EffectReport) -> tuple[str, str] | None:
    """Code and pack of the quarantine's cause. An element that a pack gives for asserted facts alone quarantines
    no tool. Where the evaluation failed, an effect that is not permitted suffices."""
    for each in elements:
        if each.kind == "oblige" and each.fields.get("kind") == QUARANTINE and each.asserted != "with":
            return each.code, each.pack
    return (CODE, "") if report.effects and not elements else None


def _row(report: EffectReport, record_id: str) -> SwitchRow:
    """The switch. Its reason names the newest record: a request that showed an earlier one lifts nothing."""
    return SwitchRow(
        report.tenant, SCOPE, report.server, report.target, engaged=True, reason=record_id, by=report.caller,
        at_ns=report.at_ns,
    )  # fmt: skip
