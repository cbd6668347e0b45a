"""Policies of `tests/corpora/policies`, and their changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from support.proving import edited, pack, with_org

from pdp.core.outcome.policy import Bundle

FOLDER = Path(__file__).parents[1] / "corpora" / "policies"
READERS = ("readers-a", "readers-b", "readers-c")
TRADES = ("bank", "hospital", "shop", "ticketing", "cloud", "mail")


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a policy: whether it lets more through, by its author's word, which the engine confirmed."""

    file: str
    name: str
    widens: bool
    old: Bundle
    new: Bundle


def changes(file: str) -> Iterator[Change]:
    """The changes of one file."""
    read = yaml.safe_load((FOLDER / f"{file}.yaml").read_text())
    for table in read if isinstance(read, list) else [read]:
        old = pack(
            table["pack"],
            imports=table.get("imports", ""),
            baseline=table.get("baseline", ""),
            org=partial(_merge, more=table.get("org", {})),
        )
        for kind in ("widens", "same"):
            for change in table.get(kind, ()):
                yield Change(file, change["name"], kind == "widens", old, _changed(old, change))


def _changed(old: Bundle, change: Mapping[str, Any]) -> Bundle:
    path = "baseline/baseline.rego" if change.get("where") == "baseline" else "packs/mini/mini.rego"
    new = edited(old, *[(path, before, after) for before, after in change.get("edits", ())])
    return with_org(new, partial(_merge, more=change["org"])) if "org" in change else new


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value
