"""What is found in arguments, as a call with a pinned schema, or without one, has it; guards apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pdp.content.arguments import text_findings, undeclared_findings
from pdp.core.call.facts import Finding
from pdp.core.text.credentials import OwnToken


def findings(value: Mapping[str, Any], schema: Any, own: tuple[OwnToken, ...] = ()) -> tuple[Finding, ...]:
    """The findings; `schema` is None when nothing is pinned."""
    of_schema = undeclared_findings(value, schema) if schema is not None else ()
    return (*of_schema, *text_findings(value, (), own))
