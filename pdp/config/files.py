"""A configuration's text: YAML without repeated keys, and the variables that lie over it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pdp.core.errors import ConfigurationFault
from pdp.files import strict_yaml
from pdp.files.strict_yaml import NotPlainYaml

PREFIX = "PDP_"
# Kubernetes puts these into every container beside a Service named `pdp` or `pdp-something`
_LINK = re.compile(
    r"(PDP(?:_[A-Z0-9]+)*?)_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)"
)
_ADDRESS = ("tcp://", "udp://", "sctp://")


def read_yaml(text: str, where: str) -> dict[str, Any]:
    """A YAML mapping (`strict_yaml`). Raises ConfigurationFault with the line."""
    try:
        found = strict_yaml.read(text)
    except NotPlainYaml as problem:
        between = ": " if problem.line is None else ", "
        raise ConfigurationFault("config.yaml", f"{where}{between}{problem}.") from None
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
            place[last] = strict_yaml.read(text)
        except NotPlainYaml as problem:
            raise ConfigurationFault("config.variable", f"{name}: is no YAML ({problem}); quote the value.") from None
