"""The deny list of token ids (`revoked_jti_file`).

One entry per line: `<jti>` for every issuer, or `<issuer> <jti>`. Empty lines and lines that start with `#` do not
count. A list that can no longer be read serves for an hour; after that no token passes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pdp.core.check import NS
from pdp.core.digest import Json, digest
from pdp.core.errors import ConfigurationFault
from pdp.identity.compact import Refusal
from pdp.identity.watched_file import WatchedFile

_MAX_BYTES = 64 * 1024 * 1024
_MAX_STALE_NS = 3600 * NS
_SPACE = re.compile(r"\s")
_Entry = tuple[str, str]  # (issuer, or "" for every issuer; jti)


@dataclass(frozen=True, slots=True)
class _Listed:
    """What one reading of the file said, and its digest, whatever the order of lines."""

    entries: frozenset[_Entry]
    sha256: str


class DenyList:
    """Token ids that are refused before their time is up."""

    def __init__(self, path: Path | None) -> None:
        self._file: WatchedFile[_Listed] | None = None
        if path is not None:
            self._file = WatchedFile(
                path,
                _entries,
                limit=_MAX_BYTES,
                max_stale_ns=_MAX_STALE_NS,
                prefix="revocations",
                key="revoked_jti_file",
            )

    def refusal(self, issuer: str, jti: str | None, at_ns: int, *, vouched: bool = False) -> Refusal | None:
        """`revoked`, `revocations_unavailable`, or `claims` for a token that no list could ever name. A caller that
        vouches for claims may leave `jti` out, for it has seen the token."""
        if self._file is None:
            return None
        entries = self._file.content(at_ns)
        if entries is None:
            return Refusal("revocations_unavailable", "the deny list of tokens cannot be read; tell the operator")
        if jti is None and vouched:
            return None
        if jti is None or _SPACE.search(jti):
            return Refusal(
                "claims",
                "the token has no `jti`, or one with blanks, so it could not be revoked; have the issuer add one",
            )
        if ("", jti) in entries.entries or (issuer, jti) in entries.entries:
            return Refusal("revoked", "the token was revoked; sign in again")
        return None

    def digest(self) -> str:
        """Digest of the entries that were last good; "" without a list."""
        return "" if self._file is None else self._file.last.sha256

    def refresh(self, at_ns: int) -> None:
        """Look at the file now."""
        if self._file is not None:
            self._file.content(at_ns, now=True)

    @property
    def problem(self) -> str:
        """Code of what is wrong with the file, or empty."""
        return "" if self._file is None else self._file.problem


def _entries(raw: bytes) -> _Listed:
    entries: set[_Entry] = set()
    try:
        lines = raw.decode("utf-8-sig").splitlines()  # an editor's mark must not hide the first entry
    except UnicodeDecodeError:
        raise ConfigurationFault("revocations.malformed", "`revoked_jti_file` is not UTF-8 text") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) > 2:
            raise ConfigurationFault(
                "revocations.malformed", f"`revoked_jti_file` line {number} is not `<jti>` or `<issuer> <jti>`"
            )
        entries.add(("", words[0]) if len(words) == 1 else (words[0], words[1]))
    listed: Json = [list(entry) for entry in sorted(entries)]
    return _Listed(frozenset(entries), digest(listed))
