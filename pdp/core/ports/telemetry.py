"""The port for telemetry: spans, metrics and logs of decisions. It never decides, and never sees a secret.

Names of stages, attributes and instruments are those of `pdp.runtime.telemetry.catalogue`. Values are what an
operator may see: codes, digests, counts, names out of signed documents. Never arguments, tokens, subjects or
messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeAlias

from typing_extensions import override

from pdp.core.bytes.trace_context import TraceParent

Value: TypeAlias = "str | int | bool"
Attributes: TypeAlias = "Mapping[str, Value]"
NONE: Attributes = {}
SEVERAL = "several"  # the value of an attribute that was given more than one, as in a batch


# Attributes that name what a call is about, by kind; of the conventions for GenAI and MCP.
TARGET_NAMES: Mapping[str, str] = {
    "tool": "gen_ai.tool.name",
    "prompt": "gen_ai.prompt.name",
    "resource": "mcp.resource.uri",
}


@dataclass(frozen=True, slots=True)
class Instrument:
    """A metric. `unit` is UCUM, "1" for a plain number."""

    name: str
    kind: Literal["counter", "histogram", "level", "up_down"]
    unit: str
    says: str
    attributes: Sequence[str] = ()
    bounds: Sequence[float] = ()


class Span(Protocol):
    """Something that takes time."""

    def set(self, name: str, value: Value) -> None:
        """Give it an attribute."""
        ...

    def fail(self, code: str) -> None:
        """Mark the span as failed, with a stable code."""
        ...


class Telemetry(Protocol):
    """Spans, counters, histograms and levels."""

    def call(self, method: str, parent: TraceParent | None) -> AbstractContextManager[Span]:
        """One RPC, `method` fully qualified (`pdp.v1.DecisionService/Decide`), below the caller's own span."""
        ...

    def stage(self, name: str, attributes: Attributes = NONE) -> AbstractContextManager[Span]:
        """One stage of the call under way; outside a call only its duration is measured. A fault that leaves it
        marks it as failed, by its code."""
        ...

    def note(self, name: str, value: Value) -> None:
        """An attribute of the call under way; without effect outside one. Two values make it `SEVERAL`."""
        ...

    def count(self, name: str, attributes: Attributes = NONE) -> None:
        """One more."""
        ...

    def measure(self, name: str, value: float, attributes: Attributes = NONE) -> None:
        """One value of a distribution, in the instrument's unit."""
        ...

    def level(self, name: str, value: float, attributes: Attributes = NONE) -> None:
        """Set a gauge."""
        ...

    def close(self) -> None:
        """Send what is left, end every thread. Blocks, for seconds when the collector is away."""
        ...


class _Nothing(AbstractContextManager["_Nothing"], Span):
    """Takes everything and keeps nothing."""

    __slots__ = ()

    @override
    def __enter__(self) -> Self:
        return self

    @override
    def __exit__(self, *_: object) -> None:
        return None

    @override
    def set(self, name: str, value: Value) -> None: ...

    @override
    def fail(self, code: str) -> None: ...


UNSEEN = _Nothing()  # a span that is not exported


class Silent(Telemetry):
    """Nobody watches: no thread, no import, no allocation."""

    @override
    def call(self, method: str, parent: TraceParent | None) -> AbstractContextManager[Span]:
        return UNSEEN

    @override
    def stage(self, name: str, attributes: Attributes = NONE) -> AbstractContextManager[Span]:
        return UNSEEN

    @override
    def note(self, name: str, value: Value) -> None: ...

    @override
    def count(self, name: str, attributes: Attributes = NONE) -> None: ...

    @override
    def measure(self, name: str, value: float, attributes: Attributes = NONE) -> None: ...

    @override
    def level(self, name: str, value: float, attributes: Attributes = NONE) -> None: ...

    @override
    def close(self) -> None: ...


SILENT = Silent()
