"""Revocation of tokens, by marks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenMark:
    """A mark by which tokens are revoked: its kind (`subject`, `sessionless` for tokens of a subject without a
    session, `session`, `token`, `email`, `opaque`), and its value at an issuer."""

    kind: str
    issuer: str
    value: str


@dataclass(frozen=True, slots=True)
class Revocable:
    """A token's marks for revocation: the subject at its issuer, the time of issue (Unix nanoseconds; 0: unknown),
    and other names in it, by kind of mark."""

    issuer: str
    subject: str
    issued_ns: int = 0
    names: tuple[tuple[str, str], ...] = ()

    def marks(self) -> Iterator[TokenMark]:
        """All marks of the token."""
        yield TokenMark("subject", self.issuer, self.subject)
        if all(kind != "session" for kind, _ in self.names):
            yield TokenMark("sessionless", self.issuer, self.subject)
        yield from (TokenMark(kind, self.issuer, normal(kind, value)) for kind, value in self.names)


NOT_REVOCABLE = Revocable("", "")


@dataclass(frozen=True, slots=True)
class Revocation:
    """The revocation of tokens with one mark, issued until `until_issued_ns`. It ends at `until_ns`, when the last of
    them has expired; 0: never."""

    until_issued_ns: int
    until_ns: int

    def live(self, at_ns: int) -> bool:
        return not 0 < self.until_ns <= at_ns


def revokes(revoked: Mapping[str, Revocation], indexes: Iterable[str], issued_ns: int, at_ns: int) -> bool:
    """Whether a token with marks of these indexes is revoked; a revocation includes tokens without a time of issue
    (0)."""
    revocations = (revoked.get(index) for index in indexes)
    return any(each is not None and issued_ns <= each.until_issued_ns and each.live(at_ns) for each in revocations)


def normal(kind: str, value: str) -> str:
    """The value for comparison: a mail address in lower case."""
    return value.casefold() if kind == "email" else value
