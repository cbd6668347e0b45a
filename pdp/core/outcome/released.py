"""A release of policy for reviewers: signers, proof of its change, and forecast votes.

Its texts are the release author's, uninterpreted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Standing: TypeAlias = Literal["in_force", "waiting", "refused"]


@dataclass(frozen=True, slots=True)
class ReleaseProof:
    """The proof as its signers state it. `of_it`: it begins at the policy and data of the former release.
    `forecast` is the release's forecast of votes, with its time from `first_ns` to `last_ns`."""

    verdict: Literal["proved", "widens", "not proved"]
    found: tuple[str, ...]  # codes
    accepted: tuple[str, ...]
    calls: tuple[str, ...]  # in words
    of_it: bool = False
    forecast: Mapping[str, Any] | None = None

    @property
    def open(self) -> tuple[str, ...]:
        """Findings that are not accepted."""
        accepted = frozenset(self.accepted)
        return tuple(code for code in self.found if code not in accepted)


@dataclass(frozen=True, slots=True)
class ReadRelease:
    """One release. `signers` are roles and ids of configured keys with a good signature; `before` is the serial of
    the former release in force (0: unknown), `same`: with the same policy and data; `problem` is the code of its
    refusal."""

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
    """The releases of a server, newest first; `problem` is the code of the present file's problem."""

    releases: tuple[ReadRelease, ...] = ()
    problem: str = ""
