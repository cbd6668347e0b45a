"""The outcome of one evaluation, and the strict reading of what an engine returned.

`read` is the only place where an effect is born from Rego's answer; anything that is not exactly a decision
becomes a denial. Only here and in `denied` does an `Outcome` come into being.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pdp.core.approvals.requirement import KINDS
from pdp.core.digest import INT64_MAX, INT64_MIN, Json


class Effect(StrEnum):
    """What the caller is told. There is no fourth."""

    ALLOW = "allow"
    DENY = "deny"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason. `rule` is where it comes from, for example `packs.baseline.deny`; `control` e.g. `MB-3.1`."""

    code: str
    message: str = ""
    rule: str = ""
    control: str = ""

    def fact(self) -> dict[str, Json]:
        return {"code": self.code, "message": self.message, "rule": self.rule, "control": self.control}


@dataclass(frozen=True, slots=True)
class Hidden:
    """A target that the subject may not see, and why: for the caller's log, never for a model."""

    key: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What policy decided. `requirements` is the opened stage; empty unless pending."""

    effect: Effect
    reasons: tuple[Reason, ...] = ()
    requirements: tuple[Mapping[str, Json], ...] = ()
    obligations: tuple[Mapping[str, Json], ...] = ()
    visible: frozenset[str] = frozenset()
    hidden: tuple[Hidden, ...] = ()
    waived: tuple[Mapping[str, Json], ...] = ()


def denied(code: str, message: str = "", *, control: str = "") -> Outcome:
    """A denial by the service: the one direction in which it may turn an answer."""
    return Outcome(Effect.DENY, (Reason(code, message, "service", control),))


_KEYS = {"effect", "reasons", "requirements", "obligations", "visible", "hidden", "waived"}


class _NotADecisionError(Exception):
    pass


def read(answer: bytes) -> Outcome:
    """Read `data.pdp.decision` as an engine returned it (JSON bytes). Not a decision is a denial."""
    try:
        text = answer.decode()
        value = _DECODER.decode(text)
        if "\\u" in text:  # an escape may be half a character, which no record can hold
            json.dumps(value, ensure_ascii=False).encode()
        return _read(value)
    except (_NotADecisionError, ValueError, RecursionError):
        return denied("policy.not_a_decision", "The policy did not return a decision.")


def _read(value: object) -> Outcome:
    found = _object(value)
    if set(found) != _KEYS:
        raise _NotADecisionError
    try:
        effect = Effect(_text(found, "effect"))
    except ValueError:
        raise _NotADecisionError from None
    reasons = tuple(map(_reason, _list(found, "reasons")))
    requirements = tuple(map(_requirement, _list(found, "requirements")))
    obligations = tuple(map(_obligation, _list(found, "obligations")))
    visible = frozenset(map(_string, _list(found, "visible")))
    hidden = tuple(
        Hidden(_text(h, "key"), tuple(map(_reason, _list(h, "reasons"))))
        for h in map(_object, _list(found, "hidden"))
    )
    waived = tuple(map(_object, _list(found, "waived")))
    if (effect is Effect.PENDING) != bool(requirements):
        raise _NotADecisionError
    if effect is not Effect.ALLOW:
        obligations = ()  # nothing to carry out
    elif not visible:
        raise _NotADecisionError  # an allow grants something
    return Outcome(effect, reasons, requirements, obligations, visible, hidden, waived)


def _reason(value: object) -> Reason:
    found = _object(value)
    return Reason(*(_text(found, k) for k in ("code", "message", "rule", "control")))


def _requirement(value: object) -> Mapping[str, Json]:
    found = _object(value)
    stage, ttl = found.get("stage"), found.get("ttl_seconds")
    if _text(found, "kind") not in KINDS or not _text(found, "id") or not _text(found, "code"):
        raise _NotADecisionError
    if not isinstance(stage, int) or isinstance(stage, bool) or stage < 1:
        raise _NotADecisionError
    if not isinstance(ttl, int) or isinstance(ttl, bool) or ttl < 1:
        raise _NotADecisionError
    return found


def _obligation(value: object) -> Mapping[str, Json]:
    found = _object(value)
    if not _text(found, "kind") or not _text(found, "code"):
        raise _NotADecisionError
    return found


def _object(value: object) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise _NotADecisionError
    return value


def _list(found: Mapping[str, object], key: str) -> list[object]:
    value = found.get(key)
    if not isinstance(value, list):
        raise _NotADecisionError
    return value


def _text(found: Mapping[str, object], key: str) -> str:
    return _string(found.get(key))


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise _NotADecisionError
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Two readers of a duplicate key may see two decisions."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _NotADecisionError
    return made


def _integer(text: str) -> int:
    value = int(text)
    if not INT64_MIN <= value <= INT64_MAX:
        raise _NotADecisionError
    return value


def _fraction(text: str) -> float:
    value = float(text)
    # a whole number beyond int64 has no canonical bytes, however it is written
    if not math.isfinite(value) or (value.is_integer() and not INT64_MIN <= value <= INT64_MAX):
        raise _NotADecisionError
    return value


def _constant(_text: str) -> float:
    raise _NotADecisionError


# what passes has canonical bytes, as its record needs; the general reader (`strict_json`) costs a long list more
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_fraction, parse_constant=_constant
)
