"""The signature counter in a passkey's assertion (WebAuthn level 2, section 6.1.1).

The counter reveals a cloned authenticator and a replayed assertion; the signature itself is verified elsewhere.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from pdp.core.bytes.compact import base64url_text
from pdp.core.bytes.digest import canonical

_COUNTER = slice(33, 37)  # of the authenticator data, after 32 bytes of hash and one of flags


@dataclass(frozen=True, slots=True)
class PasskeySignature:
    """The credential, and the authenticator's signature counter; 0 where it has none."""

    passkey_id: str
    count: int


def read(assertion: bytes) -> PasskeySignature | None:
    """The signature counter of a browser's JSON; None for a malformed assertion."""
    try:
        parsed = json.loads(assertion)
        passkey_id, data = parsed["id"], parsed["response"]["authenticatorData"]
        raw = base64.b64decode(data + "=" * (-len(data) % 4), altchars=b"-_", validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(passkey_id, str) or not passkey_id or len(raw) < _COUNTER.stop:
        return None
    return PasskeySignature(passkey_id, int.from_bytes(raw[_COUNTER]))


def evidence(assertion: bytes, public_key: bytes) -> bytes:
    """The passkey evidence of a vote: the browser's JSON and its public key (COSE), so that a record verifies after
    the passkey has left the directory."""
    key = base64url_text(public_key)
    return canonical({"assertion": assertion.decode("utf-8", "replace"), "public_key": key})


def kept(vote_passkey: bytes) -> PasskeySignature | None:
    """The signature in a vote's passkey evidence; None without one."""
    return read(json.loads(vote_passkey)["assertion"].encode()) if vote_passkey else None


def fresh(count: int, stored: int) -> bool:
    """Whether a counter may follow the stored one: greater, or both 0 (an authenticator without a counter)."""
    return count > stored or count == stored == 0
