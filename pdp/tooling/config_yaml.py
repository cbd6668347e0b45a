"""A configuration's text: YAML without repeated keys, and the variables that lie over it."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any

import yaml

from pdp.core.errors import ConfigurationFault

PREFIX = "PDP_"
# Kubernetes puts these into every container beside a Service named `pdp` or `pdp-something`
_LINK = re.compile(
    r"(PDP(?:_[A-Z0-9]+)*?)_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)"
)
_ADDRESS = ("tcp://", "udp://", "sctp://")


class _StrictLoader(yaml.SafeLoader):
    """YAML without duplicate keys: the second would silently win."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, Hashable):
            raise ConfigurationFault("config.yaml", f"line {line}: a key is a list or mapping; use text.")
        if key in seen:
            raise ConfigurationFault("config.duplicate", f"line {line}: the key '{key}' stands twice; keep one.")
        seen.add(key)
    found: dict[object, object] = yaml.SafeLoader.construct_mapping(loader, node, deep)
    return found


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(text: str, where: str) -> dict[str, Any]:
    """A YAML mapping without duplicate keys. Raises ConfigurationFault with the line."""
    try:
        found = yaml.load(text, _StrictLoader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationFault("config.yaml", f"{where}, line {line}: {error.problem or 'not YAML'}.") from None
    except yaml.YAMLError:
        raise ConfigurationFault("config.yaml", f"{where}: holds characters that YAML does not allow.") from None
    except RecursionError:
        raise ConfigurationFault("config.yaml", f"{where}: is nested too deeply.") from None
    if not isinstance(found, dict):
        raise ConfigurationFault("config.yaml", f"{where}: must be a mapping of settings.")
    return found


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Those that are meant for us, by name."""
    return {n: v for n, v in sorted(environment.items()) if n.startswith(PREFIX) and not _linked(n, environment)}


def _linked(name: str, environment: Mapping[str, str]) -> bool:
    """Whether it describes a Service: its fellows must be there, so that no misspelt setting is taken for one."""
    found = _LINK.fullmatch(name)
    if found is None:
        return False
    address = environment.get(f"{found[1]}_PORT", "")
    return address.startswith(_ADDRESS) and f"{found[1]}_SERVICE_HOST" in environment


def place_of(name: str) -> tuple[str, ...]:
    """The setting that a variable names: `PDP_STORE__PATH` is `("store", "path")`."""
    return tuple(name.removeprefix(PREFIX).lower().split("__"))


def overlay(found: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Put what `variables` says over what a file says. Raises ConfigurationFault `config.variable`."""
    for name, text in environment.items():
        *sections, last = place_of(name)
        place = found
        for section in sections:
            if place.get(section) is None:  # not there, or with nothing below it
                place[section] = {}
            place = place[section]
            if not isinstance(place, dict):
                raise ConfigurationFault("config.variable", f"{name}: '{section}' is not a section.")
        try:
            place[last] = yaml.load(text, _StrictLoader)  # noqa: S506 - a subclass of SafeLoader
        except (yaml.YAMLError, RecursionError):
            raise ConfigurationFault("config.variable", f"{name}: is not YAML; quote the value.") from None
        except ConfigurationFault as fault:
            raise ConfigurationFault(fault.code, f"{name}: {fault.message}") from None
