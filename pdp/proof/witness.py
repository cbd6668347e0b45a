"""A witness (C2SP tlog-witness): cosigns a log's checkpoints, each of which must extend the one before.

Of each log it keeps the last checkpoint that it cosigned, in a file. The file is on the disk before the cosignature
exists, so after a crash at any moment it never cosigns a smaller tree, nor one that does not extend what it cosigned.
Each log begins at nothing: the first checkpoint of a log is taken as it comes.
"""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.core.errors import ConfigurationFault
from pdp.host.durable import SyncFailed, replace_file
from pdp.proof import merkle
from pdp.proof.cosignature import WitnessKey, cosign
from pdp.proof.note import HASH_BYTES, Checkpoint, LogKey, NoteFault, opened, split

MAX_BODY = 1 << 16
SIZE_TYPE = "text/x.tlog.size"
_MAX_PROOF = 63
_MAX_SIZE = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """The HTTP status and body of an answer."""

    status: int
    body: str = ""
    kind: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Submission:
    """A request: the checkpoint's note, and the proof that it extends the tree of `old` leaves."""

    old: int
    proof: tuple[bytes, ...]
    note: str
    checkpoint: Checkpoint

    @staticmethod
    def read(body: bytes) -> Submission:
        """Raises ValueError, NoteFault."""
        head, blank, note = body.decode().partition("\n\n")
        first, *lines = head.split("\n")
        word, _, number = first.partition(" ")
        old = int(number) if number.isascii() and number.isdecimal() else -1
        if not blank or word != "old" or str(old) != number or len(lines) > _MAX_PROOF:
            raise ValueError("is no submission")
        proof = tuple(base64.b64decode(each, validate=True) for each in lines)
        if any(len(each) != HASH_BYTES for each in proof):
            raise ValueError("has a line that is no hash")
        return Submission(old, proof, note, Checkpoint.read(split(note)[0]))

    def text(self) -> str:
        """The inverse."""
        proof = "".join(f"{base64.b64encode(each).decode()}\n" for each in self.proof)
        return f"old {self.old}\n{proof}\n{self.note}"


class Witness:
    """One witness, of the logs whose keys it is given. `seconds` is the wall clock."""

    def __init__(
        self, folder: Path, name: str, key: Ed25519PrivateKey, logs: Iterable[LogKey], seconds: Callable[[], float]
    ) -> None:
        """Takes the folder for itself. Raises ConfigurationFault `witness.locked`, `witness.folder`, and
        `witness.state` for a file in it that is not what was written."""
        self._folder, self._name, self._key, self._seconds = folder, name, key, seconds
        self._logs: dict[str, list[LogKey]] = {}
        for each in logs:
            self._logs.setdefault(each.name, []).append(each)
        self._taking = Lock()
        self._failed = False
        self._lock = _locked(folder)
        self._seen = {origin: self._kept(origin) for origin in self._logs}
        self.verifier = WitnessKey(name, key.public_key())

    def file(self, origin: str) -> Path:
        """Where the last checkpoint of a log stands."""
        return self._folder / f"{quote(origin, safe='')}.checkpoint"

    def _kept(self, origin: str) -> Checkpoint:
        try:
            found = Checkpoint.read(self.file(origin).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Checkpoint(origin, 0, merkle.EMPTY)
        except (OSError, UnicodeDecodeError, NoteFault):
            found = Checkpoint("", 0, b"")
        if found.origin != origin:
            raise ConfigurationFault(
                "witness.state",
                "the file of a log's last checkpoint cannot be read; restore it, since without it the witness would "
                "cosign whatever comes first",
            )
        return found

    def add(self, body: bytes) -> WitnessAnswer:
        """The answer to one `add-checkpoint`. Blocks. From any thread."""
        try:
            asked = Submission.read(body)
        except (ValueError, NoteFault):
            return WitnessAnswer(400)
        new = asked.checkpoint
        keys = self._logs.get(new.origin)
        if keys is None:
            return WitnessAnswer(404)
        try:
            opened(asked.note, keys)
        except NoteFault:
            return WitnessAnswer(403)
        if asked.old > new.size or new.size > _MAX_SIZE:
            return WitnessAnswer(400)
        with self._taking:
            return self._take(asked, new)

    def _take(self, asked: Submission, new: Checkpoint) -> WitnessAnswer:
        before = self._seen[new.origin]
        if self._failed:
            return WitnessAnswer(503)
        if asked.old != before.size:
            return WitnessAnswer(409, f"{before.size}\n", SIZE_TYPE)
        if not _extends(before, new, asked.proof):
            return WitnessAnswer(422)
        try:
            if new != before:
                replace_file(self.file(new.origin), new.text().encode(), sync=True)
        except SyncFailed:
            self._failed = True  # what is on the disk is not known any more: only a restart reads it again
            return WitnessAnswer(503)
        except OSError:
            return WitnessAnswer(503)
        self._seen[new.origin] = new
        return WitnessAnswer(200, cosign(split(asked.note)[0], self._name, self._key, int(self._seconds())))

    def close(self) -> None:
        """Give the folder free."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1


def _extends(before: Checkpoint, new: Checkpoint, proof: tuple[bytes, ...]) -> bool:
    if before.size == 0:
        return not proof and (new.size > 0 or new.root == merkle.EMPTY)
    return merkle.consistent(before.size, new.size, before.root, new.root, proof)


def _locked(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        raise ConfigurationFault(
            "witness.folder", "the witness's folder cannot be used; name one of its own"
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise ConfigurationFault("witness.locked", "another witness uses this folder; stop it first") from None
    return fd
