"""The pinned input schema, compiled, and a bound on the work of saying where a value breaks it.

Nothing is ever fetched: a schema that refers outside does not compile. When the validator only says whether a value
is valid it remembers the members it has seen; when it collects errors it does not. A schema that leads into itself
from two branches of an `anyOf` then doubles the work at each level of a value, and a hundred bytes would take years.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import jsonschema_rs
from cachetools import LRUCache, cached

from pdp.content.findings import pointer
from pdp.core.check import OK, Check, failed
from pdp.core.digest import Json
from pdp.core.errors import InvalidRequest
from pdp.core.schema import declared_names
from pdp.core.strict_json import parse_object

ENDLESS = 1 << 40
_IN_PLACE = ("if", "then", "else", "not")
_IN_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
_FOR_ANY = ("additionalProperties", "unevaluatedProperties", "propertyNames", "items", "additionalItems", "contains")
_NOT_FOLLOWED = ("$dynamicRef", "$recursiveRef", "unevaluatedItems")


class Visits:
    """An upper bound on how often parts of one schema are looked at along one path into a value."""

    def __init__(self, root: Mapping[str, Json]) -> None:
        self._root = root
        self._known: dict[tuple[int, int], int] = {}

    def along(self, depth: int) -> int:
        """For a value nested so deep; at most `ENDLESS`."""
        try:
            return self._visits(self._root, depth)
        except RecursionError:
            return ENDLESS

    def widest(self) -> int:
        """For the one value where most branches meet, without what lies in it: nothing is remembered there."""
        most = 0
        pending: list[Json] = [self._root]
        while pending:
            node = pending.pop()
            if isinstance(node, Mapping):
                try:
                    most = max(most, self._visits(node, 0))
                except RecursionError:
                    return ENDLESS
                pending.extend(node.values())
            else:
                pending.extend(_listed(node))
        return most

    def _visits(self, node: Json, depth: int) -> int:
        if not isinstance(node, Mapping):
            return 1
        key = (id(node), depth)
        if key not in self._known:
            self._known[key] = ENDLESS  # what leads back here without going deeper never ends
            visits = 1 + sum(self._visits(child, depth) for child in self._in_place(node))
            if depth > 0:
                visits += self._members(node, depth - 1)
            self._known[key] = min(visits, ENDLESS)
        return self._known[key]

    def _in_place(self, node: Mapping[str, Json]) -> Iterator[Json]:
        for keyword in _IN_PLACE_LISTS:
            yield from _several(node.get(keyword))
        for keyword in _IN_PLACE:
            if keyword in node:
                yield node[keyword]
        yield from _several(node.get("dependentSchemas"))
        yield from _several(node.get("dependencies"))
        if any(keyword in node for keyword in _NOT_FOLLOWED):
            yield self._root  # wherever that leads, it counts as leading in circles
        if "$ref" in node:
            yield self._target(node["$ref"])

    def _members(self, node: Mapping[str, Json], depth: int) -> int:
        """One member is looked at by one of the named schemas, and by all that are for any name."""
        named = (*_several(node.get("properties")), *_several(node.get("prefixItems")), *_listed(node.get("items")))
        visits = max((self._visits(child, depth) for child in named), default=0)
        others = [
            *_several(node.get("patternProperties")),
            *(node[keyword] for keyword in _FOR_ANY if keyword in node),
        ]
        return visits + sum(self._visits(child, depth) for child in others)

    def _target(self, reference: Json) -> Json:
        """The target of a pointer within the schema; the root for anything else."""
        node: Json = self._root
        if not isinstance(reference, str) or not reference.startswith("#/") or "%" in reference:
            return self._root
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, Mapping) and name in node:
                node = node[name]
            elif isinstance(node, Sequence) and not isinstance(node, str) and name.isdecimal() and len(name) < 6:
                if int(name) >= len(node):
                    return self._root
                node = node[int(name)]
            else:
                return self._root
        return node


def _several(value: Json) -> Iterator[Json]:
    """The schemas in an object or array of them."""
    if isinstance(value, Mapping):
        yield from value.values()
    else:
        yield from _listed(value)


def _listed(value: Json) -> Iterator[Json]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        yield from value


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
