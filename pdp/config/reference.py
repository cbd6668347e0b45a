"""A complete, commented configuration made from the models: every key with what it means, its type, bounds, default.

What is written out is valid as it stands. Sections that need not be there, and the other forms of a section, are
commented out, one `# ` deep, so that taking those characters away gives a valid section.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pdp.config.model import Model, bounds, keys, kind, shape

_WIDTH = 110
_HEAD = """\
Every setting of the decision point. Made by `pdp config example`; `pdp config check FILE` says whether a file is
right, `pdp config check --explain FILE` what is in force. Only `registry` is mandatory: leave out what is to stay at
its default. Relative paths are relative to the file. A variable overlays one setting: PDP_STORE__PATH=/x sets
store.path.
"""


def example(root: Model) -> str:
    """The configuration as YAML text."""
    return "\n".join([*_comment(_HEAD), "", *_section(root)]) + "\n"


def section(model: Model) -> str:
    """One section alone, as it is shown inside the example."""
    return "\n".join(_section(model)) + "\n"


def _section(model: Model) -> Iterator[str]:
    for i, (name, field) in enumerate(keys(model)):
        if i:
            yield ""
        yield from _key(name, field)


def _key(name: str, field: FieldInfo) -> Iterator[str]:
    found = shape(field.annotation)
    yield from _comment(_told(field, found.holds))
    if found.holds == "value":
        yield from _value(name, field)
    elif found.holds == "section":
        first = [f"{name}:", *_indent(_section(found.models[0]))]
        yield from _commented(first) if field.default is None else first
        for other in found.models[1:]:
            yield "# or:"
            yield from _commented([f"{name}:", *_indent(_section(other))])
    else:
        yield f"{name}:"
        entry = list(_section(found.models[0]))
        if found.holds == "map":
            title = f"{field.examples[0] if field.examples else 'name'}:"
            yield from _indent([title, *_indent(entry)])
            for other in found.models[1:]:
                yield from _indent(["", "# or:", *_commented([title, *_indent(_section(other))])])
        elif field.examples:  # several items are needed, as the example has them
            yield from _indent(_comment(f"Keys of an item: {_keys_in_words(found.models[0])}"))
            yield from _indent(_dump(field.examples[0]))
        else:
            yield from _indent(["-", *_indent(entry)])


def _told(field: FieldInfo, holds: str) -> str:
    """What stands above a key."""
    said = field.description or ""
    if holds != "value":
        return said
    facts = [kind(field.annotation), bounds(field)]
    if not field.is_required() and field.default_factory is None:
        facts.append(f"default: {_inline(field.default)}" if field.default is not None else "not set by default")
    elif field.is_required():
        facts.append("mandatory")
    return f"{said} ({'; '.join(fact for fact in facts if fact)})"


def _keys_in_words(model: Model) -> str:
    return " ".join(f"`{name}`: {_told(field, 'value')}" for name, field in keys(model))


def _value(name: str, field: FieldInfo) -> Iterator[str]:
    shown = field.examples[0] if field.examples else _default(field)
    yield f"{name}: {_inline(shown)}"


def _default(field: FieldInfo) -> Any:
    default = field.get_default(call_default_factory=True)
    return None if default is PydanticUndefined else default


def _inline(value: Any) -> str:
    text = yaml.safe_dump(_plain(value), default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _dump(value: Any) -> Iterator[str]:
    yield from yaml.safe_dump(_plain(value), sort_keys=False, width=10_000, allow_unicode=True).splitlines()


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    if isinstance(value, frozenset | set):
        return sorted(_plain(inner) for inner in value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), _WIDTH)]


def _commented(lines: list[str]) -> Iterator[str]:
    return (f"# {line}".rstrip() for line in lines)


def _indent(lines: Any) -> list[str]:
    return [f"  {line}".rstrip() for line in lines]
