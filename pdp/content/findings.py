"""Findings: credentials, hidden characters and undeclared members in arguments, for policy to judge.

Values are never kept. Names in arguments are the caller's words too, so JSON Pointers (RFC 6901) show only harmless
ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from pdp.core.digest import Json
from pdp.core.facts import Finding
from pdp.core.patterns import hidden_in, secret_in, secrets_in
from pdp.core.schema import Path, undeclared

_PLAIN = re.compile(r"[A-Za-z_$@][A-Za-z0-9_.$@:-]{0,63}\Z")
MASK = "*"  # stands for a name that is not shown


def pointer(path: Iterable[str | int], shown: Callable[[str], bool]) -> str:
    """Encode a path; names for which `shown` is false become `*`."""
    return "".join(f"/{_segment(part, shown)}" for part in path)


def harmless(name: str) -> bool:
    """A name that looks like one and holds no credential."""
    return _PLAIN.match(name) is not None and secret_in(name) is None


def _segment(part: str | int, shown: Callable[[str], bool]) -> str:
    if isinstance(part, int):
        return str(part)
    return part.replace("~", "~0").replace("/", "~1") if shown(part) else MASK


MAX_PER_KIND = 16  # more of one kind tell policy nothing new
_SHORTEST = 12  # no credential format is shorter


def findings(value: Mapping[str, Json], schema: Json) -> tuple[Finding, ...]:
    """All findings, at most `MAX_PER_KIND` of each kind. `schema` is None when nothing is pinned."""
    distinct: dict[Finding, None] = {}
    counts: Counter[str] = Counter()
    for finding in _all(value, schema):
        if finding not in distinct and counts[finding.kind] < MAX_PER_KIND:
            counts[finding.kind] += 1
            distinct[finding] = None
    return tuple(distinct)


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
