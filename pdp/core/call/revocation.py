"""Revocation of what somebody signed in with: by which marks a token is found dead. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenMark:
    """By what a token is revoked: the kind of mark (`subject`, `sessionless` for tokens of a subject that name no
    session, `session`, `token`, `email`, `opaque`), and its value at an issuer."""

    kind: str
    issuer: str
    value: str


@dataclass(frozen=True, slots=True)
class Revocable:
    """What somebody signed in with, as it is revoked: the subject at its issuer, when it was issued (Unix
    nanoseconds; 0: it does not say), and what else it names, by kind of mark."""

    issuer: str
    subject: str
    issued_ns: int = 0
    names: tuple[tuple[str, str], ...] = ()

    def marks(self) -> Iterator[TokenMark]:
        """The marks by which it is revoked."""
        yield TokenMark("subject", self.issuer, self.subject)
        if all(kind != "session" for kind, _ in self.names):
            yield TokenMark("sessionless", self.issuer, self.subject)
        yield from (TokenMark(kind, self.issuer, normal(kind, value)) for kind, value in self.names)


NOT_REVOCABLE = Revocable("", "")


@dataclass(frozen=True, slots=True)
class Revocation:
    """Tokens with one mark are dead that were issued until `until_issued_ns`; it is over at `until_ns`, when the last
    of them has expired; with 0 it never is."""

    until_issued_ns: int
    until_ns: int

    def live(self, at_ns: int) -> bool:
        return not 0 < self.until_ns <= at_ns


def revokes(revoked: Mapping[str, Revocation], indexes: Iterable[str], issued_ns: int, at_ns: int) -> bool:
    """Whether a token with marks of these indexes is dead. One that does not say when it was issued (0) is."""
    revocations = (revoked.get(index) for index in indexes)
    return any(each is not None and issued_ns <= each.until_issued_ns and each.live(at_ns) for each in revocations)


def normal(kind: str, value: str) -> str:
    """The value as it is compared: an address of mail in whatever case."""
    return value.casefold() if kind == "email" else value
