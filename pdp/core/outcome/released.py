"""A release of policy as reviewers read it: who signed it, what was proved of its change, and the votes it costs.

Its texts are the release's author's. None of them is looked into here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Standing: TypeAlias = Literal["in_force", "waiting", "refused"]


@dataclass(frozen=True, slots=True)
class ReleaseProof:
    """What its signers say was proved. `of_it`: it begins at the policy and data that the release before named.
    `forecast` is that of votes, as the release has it, with the instants of its time as `first_ns` and `last_ns`."""

    verdict: Literal["proved", "widens", "not proved"]
    found: tuple[str, ...]  # codes
    accepted: tuple[str, ...]
    calls: tuple[str, ...]  # in words
    of_it: bool = False
    forecast: Mapping[str, Any] | None = None

    @property
    def open(self) -> tuple[str, ...]:
        """What was found and is not accepted."""
        accepted = frozenset(self.accepted)
        return tuple(code for code in self.found if code not in accepted)


@dataclass(frozen=True, slots=True)
class ReadRelease:
    """One release. `signers` are roles and ids of configured keys whose signature is good; `before` is the serial of
    the one that was in force before (0: none that is known), `same`: with the same policy and data; `problem` is the
    code for which it is refused."""

    standing: Standing
    serial: int
    issued_ns: int
    expires_ns: int
    signers: tuple[str, ...]
    rolls_back_to: int | None = None
    parts: Mapping[str, str] = field(default_factory=dict)  # SHA-256 by part
    before: int = 0
    same: bool = False
    proof: ReleaseProof | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ReadReleases:
    """The releases that a server has, the newest first; `problem` is the code of what is wrong with the file that is
    there."""

    releases: tuple[ReadRelease, ...] = ()
    problem: str = ""
