"""Mentions of tools in the texts of others."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from pdp.core.digest import Json
from pdp.registry.scan.finding import Rule, excerpt_of

SAME = Rule("reference.tool", "low", "It names another tool of its server.")
OTHER = Rule(
    "reference.other_server",
    "high",
    "It names a tool of another server of the set. A tool has no business with what others do; have it removed.",
)
UNKNOWN = Rule(
    "reference.unknown_tool",
    "high",
    "It sends the model to a tool that this server does not list, so of another server; have it removed.",
)
_NAME = r"[A-Za-z][A-Za-z0-9]{0,40}(?:[_-][A-Za-z0-9]{1,40}){1,8}"
_HUMPS = r"[a-z][a-z0-9]{0,40}(?:[A-Z][a-z0-9]{1,40}){1,8}"  # sendMessage
# some clients write a tool as `mcp__server__name`, people as `server.name` or `server/name`
_WORD = re.compile(rf"(?:(?<![A-Za-z0-9_./-])|(?<=[a-z]__)|(?<=[a-z][./]))(?:{_NAME}|{_HUMPS})(?![A-Za-z0-9_/-])")
_TOOL = re.compile(
    rf"(?:tool|function) [`'\"(]{{0,3}}({_NAME})[`'\")]{{0,3}}(?![A-Za-z0-9_])|"
    rf"(?:[Uu]s(?:e|ing)|[Cc]all(?:ing)?|[Ii]nvok(?:e|ing)|[Rr]un|[Ee]xecute|the|of) (?:the )?[`'\"(]{{0,3}}({_NAME})"
    r"[`'\")]{0,3} (?:tool|function)\b"
)


class References:
    """The names of a set, to find them in texts."""

    def __init__(self, keys: Iterable[tuple[str, str]]) -> None:
        self._servers: dict[str, set[str]] = defaultdict(set)
        for server, name in keys:
            self._servers[name].add(server)

    def named_in(
        self, text: str, server: str, own: str, definition: Mapping[str, Json]
    ) -> Iterator[tuple[Rule, str]]:
        """Each rule that holds of `text`. Names without a separator are too often just words."""
        found: dict[str, tuple[Rule, str]] = {}
        for match in _WORD.finditer(text):
            if match[0] != own and (servers := self._servers.get(match[0])):
                rule = SAME if server in servers else OTHER
                found.setdefault(rule.code, (rule, excerpt_of(text, match.start(), match.end())))
        for match in _TOOL.finditer(text):
            name = match[1] or match[2]
            if (
                name != own
                and name not in self._servers
                and not _is_property(name, definition)
                and ("_" in name or name.islower())
            ):
                found.setdefault(UNKNOWN.code, (UNKNOWN, excerpt_of(text, match.start(), match.end())))
        yield from found.values()


def _is_property(name: str, definition: Mapping[str, Json]) -> bool:
    schema = definition.get("inputSchema")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return isinstance(properties, Mapping) and name in properties
