"""Keys and tokens for development, tests and the demo. A production configuration refuses these keys.

Pure but for `publish`, `write_keys` and `read_key`: the seed and the instant are arguments.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pdp.core.bytes.compact import base64url_text, strict_object
from pdp.core.bytes.digest import Json, canonical, sha256_hex
from pdp.core.check import NS
from pdp.core.errors import ConfigurationFault
from pdp.identity.keys import DEVELOPMENT_MEMBER, DEVELOPMENT_PREFIX

DEVELOPMENT_ISSUER = "urn:pdp:development"
SEED_BYTES = 32
KEY_FILE, JWKS_FILE = "key.json", "jwks.json"


@dataclass(frozen=True, slots=True)
class DevelopmentKey:
    """An Ed25519 key pair. `public` is its JWK."""

    kid: str
    public: Mapping[str, Json]
    seed: bytes = field(repr=False)


def make_key(seed: bytes) -> DevelopmentKey:
    """The key pair of a 32-byte seed. Its `kid` is `dev-` and the start of its thumbprint (RFC 7638)."""
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a seed has {SEED_BYTES} bytes")
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    required = {"crv": "Ed25519", "kty": "OKP", "x": base64url_text(raw)}
    kid = DEVELOPMENT_PREFIX + sha256_hex(canonical(required))[:16]
    return DevelopmentKey(kid, {**required, "kid": kid, "alg": "EdDSA", "use": "sig"}, seed)


def jwks(keys: Iterable[DevelopmentKey]) -> dict[str, Json]:
    """The public key set, marked as made for development."""
    return {"keys": [key.public for key in keys], DEVELOPMENT_MEMBER: True}


def claims(  # noqa: PLR0913 -- one keyword per claim
    *,
    subject: str,
    audience: str | Sequence[str],
    issuer: str = DEVELOPMENT_ISSUER,
    client_id: str | None = None,
    scopes: Sequence[str] = (),
    groups: Sequence[str] = (),
    actors: Sequence[str] = (),
    amr: Sequence[str] = (),
) -> dict[str, Json]:
    """Claims of an access token; `actors` with the current actor first. Times and `jti` are added by `mint`."""
    content: dict[str, Json] = {"iss": issuer, "sub": subject}
    content["aud"] = audience if isinstance(audience, str) or len(audience) != 1 else audience[0]
    if client_id is not None:
        content["client_id"] = client_id
    if scopes:
        content["scope"] = " ".join(scopes)
    if groups:
        content["groups"] = list(groups)
    if amr:
        content["amr"] = list(amr)
    act: dict[str, Json] | None = None
    for actor in reversed(actors):
        act = {"sub": actor} if act is None else {"sub": actor, "act": act}
    if act is not None:
        content["act"] = act
    return content


def mint(content: Mapping[str, Json], key: DevelopmentKey, now_ns: int, *, lifetime_seconds: int = 600) -> str:
    """Sign claims unchecked, adding missing `iat`, `exp` and `jti`. A person's token (one with
    `amr`) also gets `auth_time`. Nothing is checked, so tests can mint what must be refused."""
    now = now_ns // NS
    whole: dict[str, Json] = {"iat": now, "exp": now + lifetime_seconds, **content}
    if "amr" in content:
        whole.setdefault("auth_time", now)
    whole.setdefault("jti", sha256_hex(canonical([whole, now_ns]))[:32])
    return sign({"alg": "EdDSA", "kid": key.kid, "typ": "at+jwt"}, whole, key)


def sign(header: Mapping[str, Json], content: Mapping[str, Json], key: DevelopmentKey) -> str:
    """A compact JWS over exactly this header and content, always signed with Ed25519."""
    parts = f"{base64url_text(canonical(header))}.{base64url_text(canonical(content))}"
    signature = Ed25519PrivateKey.from_private_bytes(key.seed).sign(parts.encode("ascii"))
    return f"{parts}.{base64url_text(signature)}"


def publish(key: DevelopmentKey, folder: Path) -> None:
    """Write `jwks.json` of a key that stays in memory, in place of another's."""
    folder.mkdir(mode=0o700, exist_ok=True)
    beside = folder / f".{JWKS_FILE}"
    beside.unlink(missing_ok=True)
    _write_new(beside, jwks([key]))
    beside.replace(folder / JWKS_FILE)


def write_keys(folder: Path, seed: bytes) -> DevelopmentKey:
    """Write `key.json` (private) and `jwks.json` (public) into `folder`, both with mode 0600.

    Raises ConfigurationFault (`dev.keys_exist`, `dev.keys_unwritable`); never replaces a file.
    """
    key = make_key(seed)
    private: dict[str, Json] = {**key.public, "d": base64url_text(seed), DEVELOPMENT_MEMBER: True}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any((folder / name).exists() for name in (KEY_FILE, JWKS_FILE)):
            raise ConfigurationFault(
                "dev.keys_exist", f"the folder already holds `{KEY_FILE}` or `{JWKS_FILE}`; choose another folder"
            )
        _write_new(folder / KEY_FILE, private)
        _write_new(folder / JWKS_FILE, jwks([key]))
    except OSError as error:
        raise ConfigurationFault(
            "dev.keys_unwritable", "the folder cannot be written; choose another", detail=str(error)
        ) from None
    return key


def read_key(folder: Path) -> DevelopmentKey:
    """Read what `write_keys` wrote. Raises ConfigurationFault (`dev.keys_unreadable`)."""
    try:
        raw = (folder / KEY_FILE).read_bytes()
    except OSError as error:
        raise _unreadable(str(error)) from None
    stored: dict[str, Any] | None = strict_object(raw)
    seed_text = None if stored is None else stored.get("d")
    if not isinstance(seed_text, str):
        raise _unreadable("not a private JWK")
    try:
        return make_key(base64.urlsafe_b64decode(seed_text + "=" * (-len(seed_text) % 4)))
    except ValueError as error:
        raise _unreadable(str(error)) from None


def _unreadable(detail: str) -> ConfigurationFault:
    return ConfigurationFault(
        "dev.keys_unreadable", f"no usable `{KEY_FILE}` in the folder; make one with `pdp dev keys`", detail=detail
    )


def _write_new(path: Path, content: Mapping[str, Json]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
