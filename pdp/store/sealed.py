"""Sealed files: written with a public key alone, and read by the holder of the private one.

A line that names the format, a content key sealed by HPKE (RFC 9180: X25519, HKDF-SHA256, AES-256-GCM), then frames
of AES-256-GCM whose nonce counts them and marks the last: no frame can be left out, moved, or cut off at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from pdp.core.errors import ConfigurationFault

FORMAT = b"pdp.backup/1\n"
FRAME = 1 << 18  # bytes of what is sealed
_KEY, _TAG, _COUNTER = 32, 16, 11
_SEALED_KEY = 32 + _KEY + _TAG  # with the sender's share
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class Sealing:
    """Writes one sealed file. `key` opens it again, in this process only."""

    def __init__(self, file: BinaryIO, recipient: X25519PublicKey) -> None:
        self.key = os.urandom(_KEY)
        self._file, self._aead, self._count, self._rest = file, AESGCM(self.key), 0, bytearray()
        file.write(FORMAT + _SUITE.encrypt(self.key, recipient, info=FORMAT))

    def write(self, data: bytes) -> None:
        """More of it."""
        self._rest += data
        while len(self._rest) > FRAME:
            self._frame(bytes(self._rest[:FRAME]), last=False)
            del self._rest[:FRAME]

    def close(self) -> None:
        """The last frame; without it nobody takes the file for whole."""
        self._frame(bytes(self._rest), last=True)

    def _frame(self, data: bytes, *, last: bool) -> None:
        self._file.write(self._aead.encrypt(_nonce(self._count, last=last), data, None))
        self._count += 1


def content_key(path: Path, private: X25519PrivateKey) -> bytes:
    """The key of a file's content. Raises ConfigurationFault `backup.format`, `backup.key`; OSError."""
    with path.open("rb") as file:
        head, sealed = file.read(len(FORMAT)), file.read(_SEALED_KEY)
    if head != FORMAT:
        raise ConfigurationFault("backup.format", "the copy: is none that `pdp backup` of this release writes")
    try:
        return _SUITE.decrypt(sealed, private, info=FORMAT)
    except (InvalidTag, ValueError):
        raise ConfigurationFault("backup.key", "the copy: is sealed for another key than --key") from None


def lines(path: Path, key: bytes) -> Iterator[bytes]:
    """The lines of what is sealed, without their ends. Raises ConfigurationFault `backup.damaged`, at the place where
    it is; OSError."""
    aead, rest, count = AESGCM(key), b"", 0
    with path.open("rb") as file:
        file.seek(len(FORMAT) + _SEALED_KEY)
        frame = file.read(FRAME + _TAG)
        while True:
            following = file.read(FRAME + _TAG)
            try:
                rest += aead.decrypt(_nonce(count, last=not following), frame, None)
            except (InvalidTag, ValueError):
                raise damaged() from None
            *whole, rest = rest.split(b"\n")
            yield from whole
            if not following:
                break
            frame, count = following, count + 1
    if rest:
        raise damaged()


def damaged() -> ConfigurationFault:
    """The fault for a copy that is not whole."""
    return ConfigurationFault("backup.damaged", "the copy: is damaged, cut off or changed; take another one")


def recipient(path: Path) -> X25519PublicKey:
    """A public key from PEM. Raises ConfigurationFault `backup.key`, OSError."""
    key = _pem(path, serialization.load_pem_public_key)
    if not isinstance(key, X25519PublicKey):
        raise ConfigurationFault(
            "backup.key", "--recipient: is no X25519 public key in PEM; `openssl pkey -pubout` gives the one of a key"
        )
    return key


def private(path: Path) -> X25519PrivateKey:
    """A private key from PEM. Raises ConfigurationFault `backup.key`, OSError."""
    key = _pem(path, lambda data: serialization.load_pem_private_key(data, None))
    if not isinstance(key, X25519PrivateKey):
        raise ConfigurationFault(
            "backup.key", "--key: is no X25519 key in PEM; `openssl genpkey -algorithm x25519` makes one"
        )
    return key


def _pem(path: Path, load: Callable[[bytes], object]) -> object:
    try:
        return load(path.read_bytes())
    except (ValueError, TypeError):
        return None


def _nonce(count: int, *, last: bool) -> bytes:
    return count.to_bytes(_COUNTER, "big") + bytes([last])
