"""The `Content` port: arguments parsed strictly, checked with the pinned schema, and searched for credentials, hidden
characters and undeclared members.

Values are never kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from cachetools import LRUCache

from pdp.content.argument_workers import INLINE, ArgumentWorkers, longest_inline
from pdp.content.findings import guard_findings, text_findings, texts, undeclared_findings
from pdp.content.options import MAX_NESTING, ContentOptions
from pdp.content.results import inspect
from pdp.content.schema import Compiled
from pdp.core.bytes.digest import Json
from pdp.core.bytes.schema import unbounded
from pdp.core.bytes.strict_json import MAX_BYTES, parse_object, parse_objects
from pdp.core.call.facts import ArgumentsFact, Finding
from pdp.core.call.registered import PinnedTool
from pdp.core.check import OK, Check, failed
from pdp.core.record.inspection import Inspection
from pdp.core.text.credentials import UNREAD, OwnToken

FIELD = "arguments_json"
DEFINITION_DEPTH = 64  # definitions hold schemas, which nest deeper than arguments
COMPILED = 4096  # schemas kept; the least recently used go first
LISTED = 16  # as many values as so many calls have, all definitions of a list may have together

_UNCHECKED = failed(
    "arguments.unchecked", "There is no pinned schema to check the arguments with; have the tool pinned and signed."
)
_UNREAD = failed(
    "arguments.unread",
    "The arguments could not be searched in time, so nobody knows what is in them; send less, or ask again later.",
)
_NOT_READ = Finding(UNREAD, "", "unsearched")
_INVALID = failed(
    "arguments.schema_invalid",
    "The pinned input schema does not compile, so no arguments can be checked; have the tool's server corrected "
    "and pin it again. References outside the schema are never followed.",
)


class ArgumentContent:
    """Reads arguments strictly, checks them with the pinned schema, collects findings. Not thread-safe."""

    def __init__(self, options: ContentOptions | None = None, workers: ArgumentWorkers | None = None) -> None:
        self._options = options or ContentOptions()
        limit = self._options
        self.workers = workers or ArgumentWorkers(
            limit.argument_workers, limit.argument_seconds, hosts=limit.listed_hosts
        )
        self._compiled: LRUCache[str, Compiled | None] = LRUCache(COMPILED)
        # what guards said of arguments, by manifest and SHA-256; most calls are like one of the last ones
        self._guarded: LRUCache[tuple[str, bytes], tuple[Finding, ...]] = LRUCache(COMPILED)

    def arguments(
        self,
        raw: bytes,
        tool: PinnedTool | None,
        own: tuple[OwnToken, ...] = (),
        *,
        digest: bytes = b"",
        personal: tuple[str, ...] | None = None,
    ) -> ArgumentsFact:
        """The fact about one call's arguments; empty bytes read as `{}`. `own` are the tokens that it came with;
        `digest` is the SHA-256 of `raw`, where that is known.

        The check is `arguments.unchecked` without a pinned tool, `arguments.schema_invalid` when its schema does
        not compile, `arguments.schema` when the arguments break it. Raises InvalidRequest for what is not one
        strict JSON object within the limits.
        """
        fact = self._parsed(raw, tool)
        if tool is None or not tool.interpreters:
            in_texts = text_findings(fact.value, (), own, personal)
            return replace(fact, findings=(*fact.findings, *in_texts)) if in_texts else fact
        key = (tool.manifest_sha256, digest or sha256(raw).digest())
        if key not in self._guarded:
            self._guarded[key] = guard_findings(fact.value, tool.interpreters, self._options.listed_hosts)
        findings = (*text_findings(fact.value, tool.interpreters, own, personal), *self._guarded[key])
        return replace(fact, findings=(*fact.findings, *findings)) if findings else fact

    async def checked(
        self,
        raw: bytes,
        tool: PinnedTool | None,
        own: tuple[OwnToken, ...] = (),
        whose: str = "",
        personal: tuple[str, ...] | None = None,
    ) -> ArgumentsFact:
        """See `ports.Content.checked`."""
        interpreters = tool.interpreters if tool is not None else ()
        digest = sha256(raw).digest() if interpreters else b""
        inline = tool is None or not interpreters or (tool.manifest_sha256, digest) in self._guarded
        if len(raw) <= (INLINE if inline else longest_inline(interpreters)):
            return self.arguments(raw, tool, own, digest=digest, personal=personal)
        fact = self._parsed(raw, tool)
        findings = await self.workers.read(raw, interpreters, own, whose, personal)
        if findings is None:
            return replace(fact, check=_UNREAD if fact.check.ok else fact.check, findings=(*fact.findings, _NOT_READ))
        return replace(fact, findings=(*fact.findings, *findings))

    async def close(self) -> None:
        """End the processes that read arguments. Idempotent."""
        await self.workers.close()

    def _parsed(self, raw: bytes, tool: PinnedTool | None) -> ArgumentsFact:
        """The fact without what is found in texts."""
        limit = self._options
        value, depth = parse_object(
            raw or b"{}",
            FIELD,
            max_bytes=limit.max_arguments_bytes,
            max_depth=limit.max_depth,
            max_values=limit.max_values,
        )
        check = self._check(value, tool, size=len(raw), depth=depth)
        if tool is not None and check.ok and len(raw) > limit.max_unbounded_text:
            check = _bounded(value, unbounded(tool.input_schema), limit.max_unbounded_text)
        findings = undeclared_findings(value, tool.input_schema) if tool is not None else ()
        return ArgumentsFact(check=check, value=value, findings=findings, size=len(raw), depth=depth)

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

    def inspecting(
        self,
        tool: PinnedTool | None,
        content_type: str,
        *,
        error: bool,
        own: tuple[OwnToken, ...] = (),
        personal: tuple[str, ...] | None = None,
    ) -> Callable[[bytes], Inspection]:
        """See `ports.Content.inspecting`."""
        schema = tool.definition.get("outputSchema") if tool is not None else None
        output = None
        if tool is not None and isinstance(schema, Mapping):
            key = f"{tool.manifest_sha256}.output"
            if key not in self._compiled:
                self._compiled[key] = Compiled.of(schema)
            output = self._compiled[key]
        limits = self._options
        described = tool is not None and (schema is not None or "inputSchema" not in tool.definition)
        return lambda raw: inspect(
            raw,
            content_type,
            output,
            max_bytes=limits.max_result_bytes,
            pinned=schema is not None,
            error=error,
            own=own,
            personal=personal,
            cap=None if described else limits.max_unbounded_result,
        )

    def _check(self, value: Mapping[str, Json], tool: PinnedTool | None, *, size: int, depth: int) -> Check:
        if tool is None:
            return _UNCHECKED
        key = tool.manifest_sha256
        if key not in self._compiled:
            self._compiled[key] = Compiled.of(tool.input_schema)
        compiled = self._compiled[key]
        return _INVALID if compiled is None else compiled.check(value, size=size, depth=depth)


def _bounded(value: Mapping[str, Json], arguments: Sequence[str], limit: int) -> Check:
    """`arguments.too_long` for a text that is longer than may be, where the schema bounds none."""
    for name in arguments:
        if any(len(text) > limit for _, text in texts({"": value.get(name)})):
            return failed(
                "arguments.too_long",
                f"An argument of which the pinned schema names no length is longer than {limit} characters. Send "
                "less, or have its `maxLength` pinned.",
            )
    return OK
