"""The pinned input schema, compiled. Nothing is ever fetched: a schema that refers outside does not compile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jsonschema_rs
from cachetools import LRUCache, cached

from pdp.content.cost import Visits
from pdp.content.pointer import pointer
from pdp.core.check import OK, Check, failed
from pdp.core.digest import Json
from pdp.core.errors import InvalidRequest
from pdp.core.schema import declared_names
from pdp.core.strict_json import parse_object

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

    def valid(self, value: Mapping[str, Json]) -> bool:
        """Whether it fits."""
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
        )


@cached(LRUCache(_KEPT))
def _compiled(schema: bytes) -> Compiled | None:
    try:
        parsed, _ = parse_object(schema, "schema", max_bytes=len(schema))
        return Compiled(parsed)
    except (SchemaError, InvalidRequest):
        return None


def satisfies(schema: bytes, value: Mapping[str, Json]) -> bool:
    """Whether a value satisfies a schema given as JSON. Never for a schema that does not compile."""
    compiled = _compiled(schema)
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
