"""Evidence: the answer to one requirement for one call (DESIGN sections 5 to 7).

An element answers a requirement only if its `for` deeply equals the whole requirement as policy wants it now
(so a raised quorum drops old votes) and its `call` equals the call digest. Matching and weighing happen in
Rego; this module fixes the shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pdp.core.digest import Json

Evidence = Mapping[str, Json]
State = Literal["met", "refused", "failed"]


def answer(requirement: Mapping[str, Json], call: str, state: State, expires_ns: int) -> Evidence:
    """Evidence by people or consent: `requirement` is the element as `Outcome.requirements` shows it."""
    return {
        "for": dict(requirement),
        "call": call,
        "kind": requirement["kind"],
        "state": state,
        "expires_ns": expires_ns,
    }


def verdict(
    requirement: Mapping[str, Json],
    call: str,
    *,
    status: str,
    verdict: str | None,
    confidence: float | None,
    prompt_sha256: str,
    model: str,
    expires_ns: int,
) -> Evidence:
    """Evidence by the judge: never a state, always a verdict that policy weighs."""
    return {
        "for": dict(requirement),
        "call": call,
        "kind": "judge",
        "status": status,
        "verdict": verdict,
        "confidence": confidence,
        "prompt_sha256": prompt_sha256,
        "model": model,
        "expires_ns": expires_ns,
    }
