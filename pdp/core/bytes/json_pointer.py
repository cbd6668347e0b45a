"""JSON Pointers (RFC 6901): steps, containment, and targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pdp.core.bytes.digest import Json


def step(name: str) -> str:
    """A member name as an escaped step of a pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def name_of(written: str) -> str:
    """The member name of an escaped step."""
    return written.replace("~1", "/").replace("~0", "~")


def within(pointer: str, place: str) -> bool:
    """Whether `pointer` is `place` or below it."""
    return pointer == place or pointer.startswith(f"{place}/")


def target(root: Json, reference: str) -> Json:
    """The value that a `$ref` names within its document; None for a dangling or external reference."""
    if reference == "#":
        return root
    if not reference.startswith("#/") or "%" in reference:
        return None
    node = root
    for name in map(name_of, reference[2:].split("/")):
        if isinstance(node, Mapping) and name in node:
            node = node[name]
        elif isinstance(node, Sequence) and not isinstance(node, str) and name.isdecimal() and len(name) < 6:
            if int(name) >= len(node):
                return None
            node = node[int(name)]
        else:
            return None
    return node
