"""What the static half of the load gate says of packs that a test makes up."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace

from pdp.core.policy import Bundle, Module
from pdp.policy.bundle import read_bundle, shipped_rego
from pdp.policy.gate import parsing, static_check
from pdp.policy.gate.policy import Policy
from pdp.policy.gate.syntax import Unit


@functools.cache
def shipped() -> Bundle:
    return read_bundle(shipped_rego(), None)


@functools.cache
def _library() -> tuple[Unit, ...]:
    modules = tuple(m for m in shipped().modules if m.path.startswith("lib/") and not m.is_test)
    units, findings = parsing.read(replace(shipped(), modules=modules))
    assert not findings
    return tuple(units)


def codes(files: Mapping[str, str], *, schema: bytes = b"") -> set[str]:
    """The errors about packs, by path; `schema` replaces those of the input and of data.org."""
    modules = tuple(Module(path, text) for path, text in files.items())
    schemas = {"input_schema": schema, "org_schema": schema} if schema else {}
    names = tuple(sorted({path.split("/")[1] for path in files}))
    bundle = replace(shipped(), modules=modules, packs=names, **schemas)
    units, findings = parsing.read(bundle)
    if not findings:
        everything = [*(() if schema else _library()), *units]
        findings = static_check.check(Policy.of(bundle, everything, shipped_rego() / "capabilities.json"), everything)
    return {finding.code for finding in findings if finding.severity == "error"}
