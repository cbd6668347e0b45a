"""How much work it may be to say where a value breaks a schema.

Asked whether a value is valid, the validator remembers which members it has seen, but not when it collects errors:
a schema that leads into itself from two branches of an `anyOf` doubles that work at each level of a value, so a
hundred bytes would keep it busy for years. Whoever writes schemas and arguments is not to be trusted with that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pdp.core.digest import Json

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
            found = 1 + sum(self._visits(child, depth) for child in self._in_place(node))
            if depth > 0:
                found += self._members(node, depth - 1)
            self._known[key] = min(found, ENDLESS)
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
        found = max((self._visits(child, depth) for child in named), default=0)
        others = [
            *_several(node.get("patternProperties")),
            *(node[keyword] for keyword in _FOR_ANY if keyword in node),
        ]
        return found + sum(self._visits(child, depth) for child in others)

    def _target(self, reference: Json) -> Json:
        """What a pointer within the schema names; the root for anything else."""
        found: Json = self._root
        if not isinstance(reference, str) or not reference.startswith("#/") or "%" in reference:
            return self._root
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and name in found:
                found = found[name]
            elif isinstance(found, Sequence) and not isinstance(found, str) and name.isdecimal() and len(name) < 6:
                if int(name) >= len(found):
                    return self._root
                found = found[int(name)]
            else:
                return self._root
        return found


def _several(value: Json) -> Iterator[Json]:
    """The schemas in an object or array of them."""
    if isinstance(value, Mapping):
        yield from value.values()
    else:
        yield from _listed(value)


def _listed(value: Json) -> Iterator[Json]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        yield from value
