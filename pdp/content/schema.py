"""Pinned schemas, compiled: what breaks one, and what an agent may know of that. Nothing is ever fetched: a schema
that refers outside does not compile."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import takewhile
from threading import Lock
from typing import Self

import jsonschema_rs
from cachetools import LRUCache, cached

from pdp.content.findings import harmless, pointer
from pdp.content.visits import Visits
from pdp.core.bytes.digest import Json
from pdp.core.bytes.schema import declared_names
from pdp.core.bytes.strict_json import parse_object
from pdp.core.check import OK, Check, failed
from pdp.core.errors import InvalidRequest

_WIDEST = 10_000  # branches that may meet in one value
_WORK = 250_000  # visits, at most, to find out where arguments break a schema
_KEPT = 1_024  # compiled schemas of grants
_BACKTRACKS = 10_000  # of the regular expression engine, for patterns that need it
# where a pattern that gives up would make the whole pass
_NEGATIVE = frozenset({"not", "if", "oneOf", "contains", "patternProperties"})


class SchemaError(Exception):
    """The schema does not compile."""


class Compiled:
    """One schema, ready. Drafts by `$schema`, 2020-12 when it is absent; formats are asserted."""

    def __init__(self, schema: Mapping[str, Json]) -> None:
        """Raises SchemaError."""
        self._validator = _compile(dict(schema))
        self._declared = declared_names(schema)
        self._visits = Visits(schema)
        if self._visits.widest() > _WIDEST:
            raise SchemaError("Too many branches.")

    @classmethod
    def of(cls, schema: Mapping[str, Json]) -> Self | None:
        """None for a schema that does not compile."""
        try:
            return cls(schema)
        except SchemaError:
            return None

    def valid(self, value: Mapping[str, Json]) -> bool:
        """Whether the value satisfies the schema."""
        return bool(self._validator.is_valid(dict(value)))

    def check(self, value: Mapping[str, Json], *, size: int, depth: int) -> Check:
        """`arguments.schema` for the first thing that breaks the schema: where, and which keyword, unless that is too
        much work for a value of this size (bytes) and depth."""
        if self._validator.is_valid(dict(value)):
            return OK
        cheap = size * self._visits.along(depth) <= _WORK
        error = next(iter(self._validator.iter_errors(dict(value))), None) if cheap else None
        if error is None:
            return failed(
                "arguments.schema",
                "The arguments break the pinned schema. Send what the tool's inputSchema asks for.",
            )
        # names that the schema does not declare are the caller's content
        where = pointer(error.instance_path, self._declared.__contains__)
        place = f"at {where}" if where else "at the top"
        return failed(
            "arguments.schema",
            f"The arguments break the pinned schema {place}: keyword `{error.kind.name}`. "
            "Send what the tool's inputSchema asks for.",
            _hint(error, self._declared),
        )


_LONGEST_HINT = 200  # characters


def _hint(error: jsonschema_rs.ValidationError, declared: Collection[str]) -> str:
    """What an agent may know of its mistake: where, by names of the schema alone, and which types the server's own
    schema asks for. Of other keywords nothing, for a review may have bounded what the server does not."""
    path, types, kind = [*error.instance_path], _types(error), error.kind
    missing = isinstance(kind, jsonschema_rs.ValidationErrorKind.Required)
    if missing:
        path.append(str(kind.value))
    known = [*takewhile(lambda part: isinstance(part, int) or (part in declared and harmless(part)), path)]
    whole = len(known) == len(path)
    if not (types or (missing and whole)):
        return ""
    where = pointer(known, lambda _: True) or "the top"
    place = where if whole else f"what stands below {where}"
    mistake = "is missing" if missing else f"must be {' or '.join(sorted(types))}"
    said = f"The arguments do not fit the schema that the server lists: {place} {mistake}."
    return said if len(said) <= _LONGEST_HINT else ""


def _types(error: jsonschema_rs.ValidationError) -> frozenset[str]:
    """The types that would fit at the place of an error; none where it is about something else."""
    kinds = jsonschema_rs.ValidationErrorKind
    if isinstance(error.kind, kinds.Type):
        return frozenset(error.kind.types)
    if not isinstance(error.kind, kinds.AnyOf | kinds.OneOfNotValid):
        return frozenset()
    branches = [
        {name for each in branch if each.instance_path == error.instance_path for name in _types(each)}
        for branch in error.kind.context
    ]
    return frozenset().union(*branches) if branches and all(branches) else frozenset()


@cached(LRUCache(_KEPT), lock=Lock())  # grants are looked up in the event loop, votes for one in a thread
def _given(schema: bytes) -> Compiled | None:
    try:
        parsed, _ = parse_object(schema, "schema", max_bytes=len(schema))
    except InvalidRequest:
        return None
    return Compiled.of(parsed)


def satisfies(schema: bytes, value: Mapping[str, Json]) -> bool:
    """Whether a value satisfies a schema given as JSON. Never for a schema that does not compile."""
    compiled = _given(schema)
    return compiled is not None and compiled.valid(value)


def _compile(schema: dict[str, Json]) -> jsonschema_rs.Validator:
    """Patterns run in linear time. Those with look-around or back-references cannot, so they run with a bounded
    number of steps, and giving up counts as no match; where that would loosen, the schema is refused."""
    linear = jsonschema_rs.RegexOptions()
    try:
        return _build(schema, linear)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        if _has_negative(schema):
            raise SchemaError(type(error).__name__) from None
    try:
        return _build(schema, jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACKS))
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaError(type(error).__name__) from None


def _build(
    schema: dict[str, Json], options: jsonschema_rs.RegexOptions | jsonschema_rs.FancyRegexOptions
) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(schema, validate_formats=True, offline=True, pattern_options=options)


def _has_negative(root: Json) -> bool:
    pending: list[Json] = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, Mapping):
            if not _NEGATIVE.isdisjoint(node):
                return True
            pending.extend(node.values())
        elif isinstance(node, Sequence) and not isinstance(node, str):
            pending.extend(node)
    return False
