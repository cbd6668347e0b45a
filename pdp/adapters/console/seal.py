"""Sealing what a browser keeps for us: it can neither be read nor changed there, nor used for another purpose."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pdp.core.digest import Json, canonical
from pdp.ports import Entropy

_NONCE_BYTES = 12
_MAX_SEALED = 3800  # characters; a browser keeps 4096 bytes of a cookie with its name and attributes


def derive(key: bytes, purpose: str) -> bytes:
    """A 32-byte key for one purpose (HKDF-SHA-256, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"pdp console {purpose}".encode()).derive(key)


class Seal:
    """Seals JSON objects for one purpose (AES-256-GCM). Replicas with the same key open each other's."""

    def __init__(self, key: bytes, purpose: str, entropy: Entropy) -> None:
        self._aead = AESGCM(derive(key, purpose))
        self._purpose = purpose.encode()
        self._entropy = entropy

    def close(self, content: Mapping[str, Json]) -> str | None:
        """Sealed, base64url; None when a cookie cannot hold it."""
        nonce = self._entropy.bytes(_NONCE_BYTES)
        sealed = nonce + self._aead.encrypt(nonce, canonical(content), self._purpose)
        text = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")
        return text if len(text) <= _MAX_SEALED else None

    def open(self, text: str) -> Mapping[str, Any] | None:
        """What was sealed; None for everything that is not exactly that."""
        if not text or len(text) > _MAX_SEALED or not text.isascii():
            return None
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            content = self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._purpose)
        except (ValueError, InvalidTag):
            return None
        found = json.loads(content)
        return found if isinstance(found, dict) else None
