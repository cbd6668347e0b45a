"""Why a token or a set of claims is not accepted, as a value.

`reason` is the last part of a stable code. The same refusal reads `subject.<reason>` for a subject's credential
and `caller.token_<reason>` for a caller's, so both go through one verifier.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal. `message` says how to fix it and never carries a value of the token."""

    reason: str
    message: str


class MalformedClaim(Exception):
    """A claim is present in a shape it may not have. Raised and caught inside this component only."""

    def __init__(self, claim: str, must: str) -> None:
        super().__init__(claim)
        self.claim = claim
        self.must = must

    def refusal(self) -> Refusal:
        return Refusal("claims", f"claim `{self.claim}` must be {self.must}; correct it at the issuer")
