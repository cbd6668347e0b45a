"""Where each setting comes from: a line of the file, a variable, or its default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml

from pdp.config.files import place_of

Path_ = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Origins:
    """Maps the path of a key (`("server", "listen")`, list items by index) to its origin in words."""

    found: Mapping[Path_, str] = field(default_factory=dict)

    def of(self, path: Path_) -> str:
        """`line 7`, `PDP_STORE__PATH`, or `default`."""
        return self.found.get(path, "default")

    def nearest(self, path: Path_) -> str:
        """The same for a key that need not be there: of what is below it, else around it; "" for the whole file."""
        below = [place for place in self.found if place[: len(path)] == path]
        around = [path[:length] for length in range(len(path), 0, -1)]
        return next((self.found[place] for place in (*around[:1], *below, *around[1:]) if place in self.found), "")


def origins(text: str, variables: Mapping[str, str]) -> Origins:
    """Origins of a file that was read and of our variables, which win.

    Raises yaml.YAMLError for what is not YAML.
    """
    found: dict[Path_, str] = {}
    node = yaml.compose(text, yaml.SafeLoader)
    if node is not None:
        found.update((path, f"line {line}") for path, line in _walk(node, ()))
    for name, said in variables.items():
        above = place_of(name)
        found = {path: origin for path, origin in found.items() if path[: len(above)] != above}
        found[above] = name
        value = yaml.compose(said, yaml.SafeLoader)
        if value is not None:
            found.update((path, name) for path, _ in _walk(value, above))
    return Origins(found)


def _walk(node: yaml.Node, above: Path_) -> Iterator[tuple[Path_, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = (*above, str(key.value))
            yield path, key.start_mark.line + 1
            yield from _walk(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            yield (*above, str(i)), value.start_mark.line + 1
            yield from _walk(value, (*above, str(i)))
