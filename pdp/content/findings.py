"""Findings: what is noticed in arguments, for policy to judge. Values are never kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from pdp.content.pointer import harmless, pointer
from pdp.core.digest import Json
from pdp.core.facts import Finding
from pdp.core.patterns import hidden_in, secrets_in
from pdp.core.schema import Path, undeclared

MAX_PER_KIND = 16  # more of one kind tell policy nothing new
_SHORTEST = 12  # no credential format is shorter


def findings(value: Mapping[str, Json], schema: Json) -> tuple[Finding, ...]:
    """All findings, at most `MAX_PER_KIND` of each kind. `schema` is None when nothing is pinned."""
    found: dict[Finding, None] = {}
    counts: Counter[str] = Counter()
    for finding in _all(value, schema):
        if finding not in found and counts[finding.kind] < MAX_PER_KIND:
            counts[finding.kind] += 1
            found[finding] = None
    return tuple(found)


def _all(value: Mapping[str, Json], schema: Json) -> Iterator[Finding]:
    if schema is not None and not _plainly_declared(value, schema):
        for path in undeclared(schema, value):
            yield Finding("undeclared", pointer(path, harmless))
    for path, text in _texts(value):
        if len(text) >= _SHORTEST:
            for pattern in secrets_in(text):
                yield Finding(pattern.kind, pointer(path, harmless), pattern.name)
        if not text.isascii() or not text.isprintable():
            for name in hidden_in(text):
                yield Finding("hidden_unicode", pointer(path, harmless), name)


def _plainly_declared(value: Mapping[str, Json], schema: Json) -> bool:
    """Whether flat arguments all stand among the schema's own `properties`: then there is nothing to look for."""
    named = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(named, Mapping) or not value.keys() <= named.keys():
        return False
    return all(member is None or isinstance(member, (str, int, float)) for member in value.values())


def _texts(root: Json) -> Iterator[tuple[Path, str]]:
    """Every text with its path; a name in an object counts as text that stands where its member does."""
    pending: list[tuple[Path, Json]] = [((), root)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, Mapping):
            for key, member in value.items():
                yield (*path, key), key
                pending.append(((*path, key), member))
        elif isinstance(value, list):
            pending.extend(((*path, i), member) for i, member in enumerate(value))
