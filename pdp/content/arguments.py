"""The `Content` port: arguments parsed and checked into one fact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cachetools import LRUCache

from pdp.content.findings import findings
from pdp.content.options import MAX_NESTING, ContentOptions
from pdp.content.validate import Compiled, SchemaError
from pdp.core.check import Check, failed
from pdp.core.digest import Json
from pdp.core.facts import ArgumentsFact
from pdp.core.registered import PinnedTool
from pdp.core.strict_json import MAX_BYTES, parse_object, parse_objects

FIELD = "arguments_json"
DEFINITION_DEPTH = 64  # definitions hold schemas, which nest deeper than arguments
LISTED = 16  # as many values as so many calls have, all definitions of a list may have together

_UNCHECKED = failed(
    "arguments.unchecked", "There is no pinned schema to check the arguments with; have the tool pinned and signed."
)
_INVALID = failed(
    "arguments.schema_invalid",
    "The pinned input schema does not compile, so no arguments can be checked; have the tool's server corrected "
    "and pin it again. References outside the schema are never followed.",
)


class ArgumentContent:
    """Reads arguments strictly, checks them with the pinned schema, collects findings. Not thread-safe."""

    def __init__(self, options: ContentOptions | None = None) -> None:
        self._options = options or ContentOptions()
        self._compiled: LRUCache[str, Compiled | None] = LRUCache(self._options.compiled_schemas)

    def arguments(self, raw: bytes, tool: PinnedTool | None) -> ArgumentsFact:
        """The fact about one call's arguments; empty bytes read as `{}`.

        The check is `arguments.unchecked` without a pinned tool, `arguments.schema_invalid` when its schema does
        not compile, `arguments.schema` when the arguments break it. Raises InvalidRequest for what is not one
        strict JSON object within the limits.
        """
        limit = self._options
        value, depth = parse_object(
            raw or b"{}",
            FIELD,
            max_bytes=limit.max_arguments_bytes,
            max_depth=limit.max_depth,
            max_values=limit.max_values,
        )
        return ArgumentsFact(
            check=self._check(value, tool, size=len(raw), depth=depth),
            value=value,
            findings=findings(value, tool.input_schema if tool is not None else None),
            size=len(raw),
            depth=depth,
        )

    def object(self, raw: bytes, field: str) -> Mapping[str, Json]:
        """See `ports.Content.object`."""
        if not raw:
            return {}
        return parse_object(
            raw, field, max_bytes=MAX_BYTES, max_depth=MAX_NESTING, max_values=self._options.max_values
        )[0]

    def definitions(self, raws: Iterable[bytes], field: str) -> tuple[Mapping[str, Json], ...]:
        """See `ports.Content.definitions`."""
        return parse_objects(raws, field, max_depth=DEFINITION_DEPTH, max_values=LISTED * self._options.max_values)

    def _check(self, value: Mapping[str, Json], tool: PinnedTool | None, *, size: int, depth: int) -> Check:
        if tool is None:
            return _UNCHECKED
        key = tool.manifest_sha256
        if key not in self._compiled:
            self._compiled[key] = _compiled(tool.input_schema)
        compiled = self._compiled[key]
        return _INVALID if compiled is None else compiled.check(value, size=size, depth=depth)


def _compiled(schema: Mapping[str, Json]) -> Compiled | None:
    try:
        return Compiled(schema)
    except SchemaError:
        return None
