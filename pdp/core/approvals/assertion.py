"""The signature counter in a passkey's assertion (WebAuthn level 2, section 6.1.1).

The signature is verified elsewhere; here is only the counter, which gives a cloned authenticator away, and an
assertion that was used before.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from pdp.core.bytes.digest import canonical

_COUNTER = slice(33, 37)  # of the authenticator data, after 32 bytes of hash and one of flags


@dataclass(frozen=True, slots=True)
class PasskeySignature:
    """The credential, and the authenticator's signature counter; 0 where it has none."""

    passkey_id: str
    count: int


def read(assertion: bytes) -> PasskeySignature | None:
    """From the browser's JSON; None for what is no assertion."""
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
    """The kept part of a vote: the browser's own text and the key (COSE) that verifies it, so that a record can be
    checked when the passkey is no longer in the directory."""
    key = base64.urlsafe_b64encode(public_key).rstrip(b"=").decode()
    return canonical({"assertion": assertion.decode("utf-8", "replace"), "public_key": key})


def kept(vote_passkey: bytes) -> PasskeySignature | None:
    """The signature within what a vote keeps; None where there is none."""
    return read(json.loads(vote_passkey)["assertion"].encode()) if vote_passkey else None


def fresh(count: int, stored: int) -> bool:
    """Whether a counter may follow the one of last time: it grows, unless the authenticator has none."""
    return count > stored or count == stored == 0
