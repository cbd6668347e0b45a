"""What the static half of the load gate says of packs that a test makes up."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace

from support.gate import read_once

from pdp.core.outcome.policy import Bundle, Module
from pdp.policy.bundle import read_bundle, shipped_rego
from pdp.policy.gate import static_check


@functools.cache
def shipped() -> Bundle:
    return read_bundle(shipped_rego(), None)


@functools.cache
def _library() -> tuple[Module, ...]:
    return tuple(m for m in shipped().modules if m.path.startswith("lib/") and not m.is_test)


def codes(files: Mapping[str, str], *, schema: bytes = b"") -> set[str]:
    """The errors about packs, by path; `schema` replaces those of the input and of data.org."""
    modules = tuple(Module(path, text) for path, text in files.items())
    schemas = {"input_schema": schema, "org_schema": schema} if schema else {}
    names = tuple(sorted({path.split("/")[1] for path in files}))
    library = () if schema else _library()
    policy, units, findings = read_once(replace(shipped(), modules=(*library, *modules), packs=names, **schemas))
    return {each.code for each in findings or static_check.check(policy, units) if each.severity == "error"}
