"""A verifier of transparency logs, written from RFC 6962 and the texts of C2SP alone: signed-note, tlog-checkpoint,
tlog-tiles, tlog-proof, tlog-cosignature. It shares nothing with the product: the standard library, and `cryptography`
for Ed25519.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Rejected(Exception):
    """Something does not verify."""


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def tree_hash(hashes: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1, as it is written there."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return hashlib.sha256(b"\x01" + tree_hash(hashes[:k]) + tree_hash(hashes[k:])).digest()


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """By the recursion of RFC 6962 section 2.1.1: the last hash of a path is the other half of the whole tree."""
    if size == 1:
        if index or path:
            raise Rejected("the path does not fit the tree")
        return leaf
    if not path:
        raise Rejected("the path is too short")
    k = 1
    while k * 2 < size:
        k *= 2
    if index < k:
        left, right = root_from_path(leaf, index, k, path[:-1]), path[-1]
    else:
        left, right = path[-1], root_from_path(leaf, index - k, size - k, path[:-1])
    return hashlib.sha256(b"\x01" + left + right).digest()


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Rejected("is no base64") from None
    if base64.b64encode(data).decode() != text:
        raise Rejected("is not canonical base64")
    return data


def verified_note(note: bytes, vkey: str) -> str:  # noqa: C901 - the text, one rule after the other
    """The text of a note that the key signed."""
    name, key_id, encoded = vkey.split("+", 2)
    key = _decoded(encoded)
    if key[:1] != b"\x01" or hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() != key_id:
        raise Rejected("is no key")
    try:
        text = note.decode()
    except UnicodeDecodeError:
        raise Rejected("is no UTF-8") from None
    if any(ord(c) < 32 and c != "\n" for c in text) or not text.endswith("\n"):
        raise Rejected("is no note")
    at = text.rfind("\n\n")
    if at < 0:
        raise Rejected("is no note")
    body, lines = text[: at + 1], text[at + 2 :].splitlines()
    good = False
    for line in lines:
        dash, _, rest = line.partition(" ")
        signer, _, signature = rest.partition(" ")
        if dash != "\N{EM DASH}" or not signer:
            raise Rejected("is no signature line")
        data = _decoded(signature)
        if signer == name and data[:4].hex() == key_id:
            try:
                Ed25519PublicKey.from_public_bytes(key[1:]).verify(data[4:], body.encode())
            except InvalidSignature:
                raise Rejected("the signature is wrong") from None
            good = True
    if not good:
        raise Rejected("is not signed by the key")
    return body


def checkpoint(note: bytes, vkey: str) -> tuple[int, bytes]:
    """Size and root of a signed checkpoint of the log whose key this is."""
    lines = verified_note(note, vkey).split("\n")
    if len(lines) < 4 or lines[0] != vkey.split("+", maxsplit=1)[0]:
        raise Rejected("is no checkpoint of this log")
    if not lines[1].isdecimal() or str(int(lines[1])) != lines[1]:
        raise Rejected("has no size")
    root = _decoded(lines[2])
    if len(root) != 32:
        raise Rejected("has no root hash")
    return int(lines[1]), root


def verify_receipt(proof: bytes, entry: bytes, vkey: str) -> tuple[int, int]:
    """A tlog-proof of an entry; returns its index and the size of the tree."""
    head, blank, note = proof.partition(b"\n\n")
    lines = head.decode("latin-1").split("\n")
    if not blank or lines[0] != "c2sp.org/tlog-proof@v1":
        raise Rejected("is no tlog-proof")
    rest = lines[1:]
    if rest and rest[0].startswith("extra "):
        rest = rest[1:]
    word, _, number = rest[0].partition(" ")
    if word != "index" or not number.isdecimal() or str(int(number)) != number:
        raise Rejected("has no index")
    path = [_decoded(line) for line in rest[1:]]
    if any(len(each) != 32 for each in path):
        raise Rejected("has something else than hashes")
    size, root = checkpoint(note, vkey)
    index = int(number)
    if index >= size or root_from_path(leaf_hash(entry), index, size, path) != root:
        raise Rejected("the path does not lead to the root")
    return index, size


def cosigned_at(note: bytes, vkey: str) -> int:
    """When the witness with this key cosigned a note (tlog-cosignature, Ed25519): Unix seconds."""
    name, key_id, encoded = vkey.split("+", 2)
    key = _decoded(encoded)
    if key[:1] != b"\x04" or hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() != key_id:
        raise Rejected("is no key of a witness")
    text = note.decode()
    at = text.rfind("\n\n")
    times = []
    for line in text[at + 2 :].splitlines():
        dash, signer, signature = line.split(" ")
        data = _decoded(signature)
        if dash != "\N{EM DASH}" or signer != name or data[:4].hex() != key_id:
            continue
        if len(data) != 4 + 8 + 64:
            raise Rejected("is no cosignature")
        time = int.from_bytes(data[4:12], "big")
        message = f"cosignature/v1\ntime {time}\n{text[: at + 1]}"
        try:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(data[12:], message.encode())
        except InvalidSignature:
            raise Rejected("the cosignature is wrong") from None
        times.append(time)
    if not times:
        raise Rejected("is not cosigned by the witness")
    return max(times)


def tile_name(number: int) -> str:
    name = f"{number % 1000:03d}"
    while number >= 1000:
        number //= 1000
        name = f"x{number % 1000:03d}/{name}"
    return name


def _partial(read: Callable[[str], bytes], path: str, width: int) -> tuple[bytes, bool]:
    """A tile or bundle; for a partial one that was deleted the full one that took its place, and that it is one."""
    if width == 256:
        return read(path), False
    try:
        return read(f"{path}.p/{width}"), False
    except FileNotFoundError:
        return read(path), True


def verify_log(read: Callable[[str], bytes], vkey: str) -> list[bytes]:  # noqa: C901 - likewise
    """A whole log by its files: every tile, every entry. Returns the entries."""
    size, root = checkpoint(read("checkpoint"), vkey)
    hashes: list[bytes] = []
    entries: list[bytes] = []
    for number in range((size + 255) // 256):
        width = min(256, size - 256 * number)
        bundle, full = _partial(read, f"tile/entries/{tile_name(number)}", width)
        for _ in range(width):
            length = int.from_bytes(bundle[:2], "big")
            entry, bundle = bundle[2 : 2 + length], bundle[2 + length :]
            if len(entry) != length:
                raise Rejected(f"bundle {number} ends too early")
            entries.append(entry)
            hashes.append(leaf_hash(entry))
        if bundle and not full:
            raise Rejected(f"bundle {number} is too long")
    if tree_hash(hashes) != root:
        raise Rejected("the entries are not those of the checkpoint")
    level = 0
    while hashes:
        for number in range((len(hashes) + 255) // 256):
            part = hashes[256 * number : 256 * number + 256]
            tile, full = _partial(read, f"tile/{level}/{tile_name(number)}", len(part))
            if (tile[: 32 * len(part)] if full else tile) != b"".join(part):
                raise Rejected(f"tile {level}/{number} is wrong")
        hashes = [tree_hash(hashes[at : at + 256]) for at in range(0, len(hashes) // 256 * 256, 256)]
        level += 1
    return entries


def verify_growth(  # noqa: C901 - likewise
    old: tuple[int, bytes], new: tuple[int, bytes], path: Sequence[bytes]
) -> None:
    """A consistency proof, by the recursion of RFC 6962 section 2.1.2."""

    def roots(first: int, size: int, path: Sequence[bytes], whole: bool) -> tuple[bytes, bytes]:
        if first == size:
            if whole:
                if path:
                    raise Rejected("the path is too long")
                return old[1], old[1]
            if len(path) != 1:
                raise Rejected("the path does not fit")
            return path[0], path[0]
        if not path:
            raise Rejected("the path is too short")
        k = 1
        while k * 2 < size:
            k *= 2
        if first <= k:
            before, after = roots(first, k, path[:-1], whole)
            return before, hashlib.sha256(b"\x01" + after + path[-1]).digest()
        before, after = roots(first - k, size - k, path[:-1], False)
        left = path[-1]
        return hashlib.sha256(b"\x01" + left + before).digest(), hashlib.sha256(b"\x01" + left + after).digest()

    if not 0 < old[0] <= new[0] or roots(old[0], new[0], path, True) != (old[1], new[1]):
        raise Rejected("the later tree does not extend the earlier one")
