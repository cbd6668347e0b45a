"""The record of one answer or event: `pdp.record/1` (DESIGN section 8).

One pure constructor per kind (answers here, events in `events`); each returns the exact bytes that are stored,
hashed and verified: `pdp-jcs-1` JSON, at most `MAX_BYTES`. The closed schema is `pdp/audit/record.schema.json`.
A record carries no index (the commit assigns it), no secret, no argument value and no claim that was not
verified.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pdp.core.check import NS
from pdp.core.digest import Json, canonical, digest, sha256_hex
from pdp.core.errors import Fault, InvalidRequest
from pdp.core.evidence import Evidence
from pdp.core.facts import AgentFact, Facts, Identity, SubjectFact, TargetFact
from pdp.core.outcome import Effect, Outcome, Reason

SCHEMA = "pdp.record/1"
MAX_BYTES = 60_000
LIST_BYTES = 20_000  # the most that the names of one list may take; the digest covers all of them
TEXT_BYTES = 1_024  # the most of one text that comes from outside; beyond, its digest stands for the rest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Fields = dict[str, Json]


class RecordTooLargeError(Fault):
    """The record would pass 60,000 bytes (`record.too_large`). The service answers `denied("record.too_large")`,
    whose record carries nothing that policy made and always fits."""

    def __init__(self) -> None:
        super().__init__(
            "record.too_large",
            "The decision's reasons and requirements are too large for a record; make the policy say less.",
        )


@dataclass(frozen=True, slots=True)
class Stamp:
    """What every record has. `log` is the log's origin, `boot` names this run of the process, `tenant` is ""
    for what belongs to no tenant; times are nanoseconds (wall clock and monotonic reading)."""

    log: str
    id: str
    time_ns: int
    monotonic_ns: int
    boot: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Pins:
    """The versions that an answer was made with; digests are hex SHA-256."""

    revision: str
    policy_digest: str
    engine: str
    engine_version: str
    org_digest: str
    registry_serial: int
    registry_digest: str
    switch_epoch: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """Keyed indexes and salted commitments: they reveal nothing without what lies in erasable tables.

    `request` is the keyed HMAC of the request's content, `session` the keyed index of the session id,
    `arguments` and `input` are commitments to the arguments and to the input document. None: not there.
    """

    request: str | None = None
    session: str | None = None
    arguments: str | None = None
    input: str | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """One answered request. `degraded` names what was worse than normal, for example `registry.stale`."""

    facts: Facts
    outcome: Outcome
    pins: Pins
    sealed: Sealed
    valid_until_ns: int
    evidence: tuple[Evidence, ...] = ()
    enforcement: str = "enforced"  # "enforced" | "observed"
    degraded: tuple[str, ...] = ()


def decision(stamp: Stamp, made: Decided) -> bytes:
    """The record of one Decide. Raises RecordTooLargeError."""
    facts, arguments = made.facts, made.facts.arguments
    return encode(
        stamp,
        "decision",
        {
            **_answer(made),
            "target": _target(facts.targets[0]),
            "call_digest": facts.call_digest or None,
            "arguments": {
                **arguments.check.as_json,
                "commitment": made.sealed.arguments,
                "size": arguments.size,
                "findings": dict(Counter(f.kind for f in arguments.findings)),
            },
            "requirements": [dict(r) for r in made.outcome.requirements],
            "obligations": [dict(o) for o in made.outcome.obligations],
            "evidence": [_evidence(e) for e in made.evidence],
        },
    )


def listing(stamp: Stamp, made: Decided) -> bytes:
    """The record of one FilterTools (kind `list`). Raises RecordTooLargeError.

    `visible` and `hidden` name as many targets as fit; `count` and `sha256` (over all, canonical) are complete.
    """
    outcome = made.outcome
    hidden: list[Json] = [
        {"key": cut(h.key), "codes": sorted({r.code for r in h.reasons})}
        for h in sorted(outcome.hidden, key=lambda h: h.key)
    ]
    visible: list[Json] = [cut(key) for key in sorted(outcome.visible)]
    return encode(stamp, "list", {**_answer(made), "visible": portion(visible), "hidden": portion(hidden)})


def _answer(made: Decided) -> Fields:
    """What a decision and a list share."""
    facts, outcome, pins = made.facts, made.outcome, made.pins
    return {
        "caller": facts.caller.name,
        "method": cut(facts.method),
        "subject": _subject(facts.identity),
        "actors": _actors(facts.identity),
        "agent": _agent(facts.identity.agent),
        "session": {**facts.session.check.as_json, "index": made.sealed.session, "known": facts.session.known},
        "server": {"id": cut(facts.server.id), **facts.server.check.as_json},
        "switch": facts.switch.as_json,
        "request": made.sealed.request,
        "input": made.sealed.input,
        "effect": outcome.effect.value,
        "decided_by": _decided_by(outcome),
        "reasons": [{**r.fact(), "message": cut(_kept_message(r))} for r in outcome.reasons],
        "waived": [dict(w) for w in outcome.waived],
        "policy": {
            "revision": cut(pins.revision),
            "digest": pins.policy_digest,
            "engine": pins.engine,
            "engine_version": pins.engine_version,
        },
        "org_digest": pins.org_digest,
        "registry": {"serial": pins.registry_serial, "digest": pins.registry_digest},
        "switch_epoch": pins.switch_epoch,
        "valid_until_ns": made.valid_until_ns,
        "enforcement": made.enforcement,
        "degraded": list(made.degraded),
    }


def _kept_message(reason: Reason) -> str:
    """Packs of an organisation word their messages freely, arguments included, and a record cannot be erased: of
    theirs the code and rule must do. The answer has the message, and the bundle, kept by digest, its wording."""
    _, _, rest = reason.rule.partition("packs.")
    pack, _, name = rest.partition(".")
    ours = not rest or pack == "baseline" or name == "require"  # what is said of a requirement is the composition's
    return reason.message if ours else ""


def _decided_by(outcome: Outcome) -> str:
    """`service` for a denial that no rule asked for (policy in error, obligation unsupported, ...)."""
    by_service = outcome.effect is Effect.DENY and any(r.rule == "service" for r in outcome.reasons)
    return "service" if by_service else "policy"


def _subject(identity: Identity) -> Fields:
    found = identity.subject
    shown = found if found.check.ok else SubjectFact(found.check)  # unverified claims are not recorded
    return {
        **shown.check.as_json,
        "issuer": cut(shown.issuer),
        "id": cut(shown.id),
        "kind": shown.kind,
        "source": shown.source,
        "token_id": cut(shown.token_id),
    }


def _actors(identity: Identity) -> list[Json]:
    if not identity.subject.check.ok:
        return []
    return [{"id": cut(a.id), "issuer": cut(a.issuer)} for a in identity.actors]


def _agent(found: AgentFact) -> Fields:
    shown = found if found.check.ok else AgentFact(found.check)
    return {**shown.check.as_json, "id": cut(shown.id), "kind": shown.kind}


def _target(target: TargetFact) -> Fields:
    return {
        **target.check.as_json,
        "key": cut(target.key),
        "kind": target.kind,
        "name": cut(target.name),
        "manifest_sha256": target.manifest_sha256,
        "risk": target.risk,
    }


def _evidence(found: Evidence) -> Fields:
    """An evidence element, naming its requirement by id and digest: the whole element stands in the record of
    the answer that opened it."""
    wanted = found["for"]
    name = wanted.get("id") if isinstance(wanted, Mapping) else None
    rest = {key: value for key, value in found.items() if key not in ("for", "call")}
    return {**rest, "for_id": name, "for_sha256": digest(wanted)}


def portion(items: Sequence[Json]) -> Fields:
    """As many of the items as fit, the number of all, and the digest of all."""
    room, shown = LIST_BYTES, []
    for item in items:
        room -= len(canonical(item)) + 1
        if room < 0:
            break
        shown.append(item)
    return {"count": len(items), "sha256": digest(items), "items": shown}


def cut(text: str | None) -> str | None:
    """A text from outside, bounded in its encoded form; two different texts stay different."""
    if text is None or len(text) * 6 <= TEXT_BYTES:  # no character takes more than six bytes
        return text
    if len(canonical(text)) <= TEXT_BYTES:
        return text
    return f"{text[: TEXT_BYTES // 8]}... sha256:{sha256_hex(text.encode())}"


def _time(at_ns: int) -> str:
    seconds, rest = divmod(at_ns, NS)
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]}.{rest:09d}Z"


# The C encoder writes the same bytes as `canonical`, three times as fast, as long as keys are ASCII strings and
# there is no float; only what policy made can break that.
_plain = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode
_POLICY_MADE = ("requirements", "obligations", "waived", "evidence")


def encode(stamp: Stamp, kind: str, body: Fields) -> bytes:
    """The bytes of one record. Raises RecordTooLargeError; InvalidRequest for what has no canonical form."""
    fields: Fields = {
        "schema": SCHEMA,
        "kind": kind,
        "log": stamp.log,
        "id": stamp.id,
        "time_ns": stamp.time_ns,
        "time": _time(stamp.time_ns),
        "monotonic_ns": stamp.monotonic_ns,
        "boot": stamp.boot,
        "tenant": stamp.tenant,
        **body,
    }
    if "confidence" in body or any(body.get(key) for key in _POLICY_MADE):
        data = canonical(fields)
    else:
        try:
            data = _plain(fields).encode()
        except UnicodeEncodeError:
            raise InvalidRequest("record", "contains a lone surrogate; send well-formed UTF-8") from None
    if len(data) > MAX_BYTES:
        raise RecordTooLargeError
    return data
