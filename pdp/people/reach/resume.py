"""Resume tokens, sealed: AES-256-GCM with rotating keys that replicas share (MCP 2026-07-28: integrity is a MUST,
binding to principal, expiry and request a SHOULD). Sealing does not give single use: the store does."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pdp.core.approvals.redeem import Resume
from pdp.core.approvals.rows import Account
from pdp.core.ports import Entropy

_KIND = "r1."
_ID, _NONCE = 4, 12  # bytes
MAX_CHARS = 8_192  # a token of ours is far shorter; nothing longer is looked at


class SealedResumeTokens:
    """Seals with the first key, opens with any, so that a key can be replaced while its tokens are out."""

    def __init__(self, secrets: Sequence[bytes], entropy: Entropy) -> None:
        keys = [HKDF(SHA256(), 32, salt=None, info=b"pdp resume token 1").derive(secret) for secret in secrets]
        self._keys = {hashlib.sha256(key).digest()[:_ID]: AESGCM(key) for key in keys}
        self._entropy = entropy

    def seal(self, resume: Resume) -> str:
        """An opaque text of a few hundred characters."""
        content = [
            resume.tenant,
            resume.caller,
            resume.subject.issuer,
            resume.subject.id,
            resume.server,
            resume.digest,
            list(resume.approvals),
            resume.expires_ns,
            list(resume.judged),
            resume.asked_ns,
        ]
        key_id, key = next(iter(self._keys.items()))
        nonce = self._entropy.bytes(_NONCE)
        sealed = key.encrypt(nonce, json.dumps(content).encode(), _KIND.encode() + key_id)
        return _KIND + base64.urlsafe_b64encode(key_id + nonce + sealed).decode().rstrip("=")

    def open(self, token: str, at_ns: int) -> Resume | None:
        """The content of a token; None for anything that we did not seal, that was changed, or whose time is over,
        and for what another release sealed in another shape: a call without a token attaches to what is open all the
        same."""
        if not token.startswith(_KIND) or len(token) > MAX_CHARS:
            return None
        text = token.removeprefix(_KIND)
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        key = self._keys.get(raw[:_ID])
        if key is None or len(raw) < _ID + _NONCE:
            return None
        try:
            content = key.decrypt(raw[_ID : _ID + _NONCE], raw[_ID + _NONCE :], _KIND.encode() + raw[:_ID])
        except InvalidTag:
            return None
        resume = _read(content)
        return resume if resume is not None and at_ns < resume.expires_ns else None


def _read(content: bytes) -> Resume | None:
    match json.loads(content):
        case [
            str(tenant),
            str(caller),
            str(issuer),
            str(subject),
            str(server),
            str(digest),
            [*approvals],
            int(expires),
            [*judged],
            int(asked),
        ] if _texts(approvals) and _texts(judged):
            account = Account(issuer, subject)
            return Resume(tenant, caller, account, server, digest, tuple(approvals), expires, tuple(judged), asked)
        case _:
            return None


def _texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
