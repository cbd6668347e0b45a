"""Sealed texts (AES-256-GCM), kept by a browser or a caller; replicas with the same keys open them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pdp.core.bytes.compact import base64url_text
from pdp.core.bytes.digest import Json
from pdp.core.ports import Entropy

MAX_CHARS = 8_192  # longer texts are refused
_ID, _NONCE = 4, 12  # bytes


def derive(key: bytes, purpose: str) -> bytes:
    """A 32-byte key for one purpose (HKDF-SHA-256, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"pdp {purpose}".encode()).derive(key)


class Seal:
    """A seal of JSON for one purpose: closes with the first key, opens with any, so that a key can be replaced."""

    def __init__(self, keys: Sequence[bytes], purpose: str, entropy: Entropy) -> None:
        derived = [derive(key, purpose) for key in keys]
        self._keys = {hashlib.sha256(key).digest()[:_ID]: AESGCM(key) for key in derived}
        self._entropy = entropy

    def close(self, content: Json) -> str:
        """The sealed content, base64url."""
        key_id, key = next(iter(self._keys.items()))
        nonce = self._entropy.bytes(_NONCE)
        return base64url_text(key_id + nonce + key.encrypt(nonce, json.dumps(content).encode(), key_id))

    def open(self, text: str) -> Any:
        """The content of a sealed text; None for an invalid one."""
        if len(text) > MAX_CHARS:
            return None
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            key_id, nonce, sealed = raw[:_ID], raw[_ID : _ID + _NONCE], raw[_ID + _NONCE :]
            return json.loads(self._keys[key_id].decrypt(nonce, sealed, key_id))
        except (ValueError, KeyError, InvalidTag):
            return None
