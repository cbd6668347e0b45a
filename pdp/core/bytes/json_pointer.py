"""JSON Pointers (RFC 6901): their steps, and what lies at one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pdp.core.bytes.digest import Json


def step(name: str) -> str:
    """A name as a step of a pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def name_of(written: str) -> str:
    """The name that a step stands for."""
    return written.replace("~1", "/").replace("~0", "~")


def within(pointer: str, place: str) -> bool:
    """Whether `pointer` leads to `place`, or to something in it."""
    return pointer == place or pointer.startswith(f"{place}/")


def target(root: Json, reference: str) -> Json:
    """The value that a `$ref` names within its document; None for a reference that leads nowhere or elsewhere."""
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
