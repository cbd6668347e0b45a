"""Obligations of an allow in the words of AuthZEN's obligations profile (draft of 2026-07-03).

The configuration lists the kinds that answers may carry. A kind of the profile's own names goes out as that type,
every other as `custom`. Whatever a caller did not say that it carries out denies, before anything is recorded; what
is not of its type's form denies after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from pdp.core.bytes.digest import Json
from pdp.core.errors import InvalidRequest
from pdp.core.outcome.answer import Answer

Object = Mapping[str, Json]
SUPPORTED = "supported_obligations"  # in the metadata, and in the context of a request
CUSTOM = "custom"
MALFORMED = "obligation.malformed"  # the code of a denial
_OURS = ("kind", "code", "control", "message", "pack")  # what an element says besides its parameters


def _text(value: Json) -> bool:
    return isinstance(value, str) and value != ""


def _texts(value: Json) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_text, value))


_Form = Mapping[str, Callable[[Json], bool]]
# of each type of the profile: what it must have, and what it may
TYPES: Mapping[str, tuple[_Form, _Form]] = {
    "step-up": ({"acr_value": _text}, {"amr_values": _texts}),
    "notification": ({"to": _text, "body": _text}, {"topic": _text}),
    "session_termination": ({"subject": _text}, {}),
}


def types_of(kinds: Collection[str]) -> list[str]:
    """The types that answers with these kinds may have, for the metadata."""
    return sorted({_type(kind) for kind in kinds})


def supported(context: Object, kinds: Sequence[str]) -> tuple[str, ...]:
    """Those of the kinds that a caller says it carries out. Nothing said is none. Raises InvalidRequest."""
    said = context.get(SUPPORTED)
    if said is None:
        return ()
    if not isinstance(said, list) or not all(isinstance(each, str) for each in said):
        raise InvalidRequest(f"context.{SUPPORTED}", "must be an array of strings")
    return tuple(kind for kind in kinds if _type(kind) in said)


def shown(answer: Answer, kinds: Collection[str]) -> list[Json] | None:
    """The obligations of an allow. None for those that cannot be told: it is no permission then."""
    told: list[Json] = []
    for place, each in enumerate(answer.obligations, start=1):
        kind, parameters = str(each["kind"]), {name: each[name] for name in each if name not in _OURS}
        if kind not in kinds or (kind in TYPES and not _formed(kind, parameters)):
            return None
        properties = parameters if kind in TYPES else {"kind": kind, "code": each["code"], "parameters": parameters}
        told.append({"id": f"{answer.decision_id}.{place}", "type": _type(kind), "properties": properties})
    return told


def _type(kind: str) -> str:
    return kind if kind in TYPES else CUSTOM


def _formed(kind: str, parameters: Object) -> bool:
    """Whether it has all that its type must have, and nothing that the type has no word for: a caller would ignore
    that."""
    must, may = TYPES[kind]
    forms = {**must, **may}
    return must.keys() <= parameters.keys() <= forms.keys() and all(
        forms[name](value) for name, value in parameters.items()
    )
