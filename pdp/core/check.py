"""The result of one check, and the codes that belong to the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pdp.core.digest import Json

WORST_COUNT = 2**53 - 1  # for counters and costs: "as many as can be"
NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. Only `ok` passes; `code` says why not, `message` tells a person how to fix it."""

    status: str  # "ok" | "failed" | "missing"
    code: str = ""
    message: str = ""
    # read far more often than a check is made
    ok: bool = field(init=False, repr=False, compare=False)
    as_json: Mapping[str, Json] = field(init=False, repr=False, compare=False)  # for documents and records

    def __post_init__(self) -> None:
        object.__setattr__(self, "ok", self.status == "ok")
        object.__setattr__(self, "as_json", {"status": self.status, "code": self.code})


OK = Check("ok")


def failed(code: str, message: str) -> Check:
    """A check that ran and did not pass."""
    return Check("failed", code, message)


def missing(code: str, message: str) -> Check:
    """A check that had nothing to look at."""
    return Check("missing", code, message)


# First parts of the codes of the service's own denials: checks, switches, policy, requirements and the people who
# answer them. No organisation's pack may use them, so that a code says who denied.
SERVICE_CODES = frozenset(
    {"agent", "already_redeemed", "approval", "arguments", "caller", "check", "client", "consent", "grant"}
    | {"obligation", "person", "policy", "registry", "request", "requirement", "server", "session", "subject"}
    | {"store", "switch", "target", "tool"}
)


def is_service_code(code: str) -> bool:
    """Whether a code belongs to the service."""
    return code.partition(".")[0] in SERVICE_CODES
