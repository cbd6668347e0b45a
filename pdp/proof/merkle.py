"""The Merkle tree of RFC 6962 section 2 with SHA-256: roots, proofs, and their verification. Pure.

`Node` gives the hash of a complete subtree by level and index: (0, i) is the hash of leaf i, (l, i) covers the leaves
from i * 2**l on. Ranges that are not complete are put together of such. Sizes and indexes are below 2**63.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

Node = Callable[[int, int], bytes]

EMPTY = hashlib.sha256(b"").digest()  # the root of no leaves


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(size: int, node: Node) -> bytes:
    """The root over the first `size` leaves."""
    return _range(0, size, node) if size else EMPTY


def inclusion(index: int, size: int, node: Node) -> tuple[bytes, ...]:
    """The audit path of a leaf, its sibling first. Raises ValueError for a leaf that is not in the tree."""
    if not 0 <= index < size:
        raise ValueError("the leaf is not in the tree")
    path, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range(middle, end, node))
            end = middle
        else:
            path.append(_range(start, middle, node))
            start = middle
    return tuple(reversed(path))


def consistency(first: int, second: int, node: Node) -> tuple[bytes, ...]:
    """The proof that the tree of `first` leaves is a prefix of the one of `second`. Raises ValueError for sizes
    without one."""
    if not 0 < first <= second:
        raise ValueError("the first tree is empty, or larger than the second")
    path, start, end, whole = [], 0, second, True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            path.append(_range(middle, end, node))
            end = middle
        else:
            path.append(_range(start, middle, node))
            start, whole = middle, False
    if not whole:
        path.append(_range(start, end, node))
    return tuple(reversed(path))


def _range(start: int, end: int, node: Node) -> bytes:
    """The hash over a range that begins where a subtree of its size does."""
    size = end - start
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, start >> level)
    middle = start + _split(size)
    return node_hash(_range(start, middle, node), _range(middle, end, node))


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def included(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes) -> bool:
    """Whether the path leads from the leaf's hash at `index` to the root of a tree of `size` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    here, last, node = index, size - 1, leaf
    for sibling in path:
        if not last:
            return False
        if here & 1 or here == last:
            node = node_hash(sibling, node)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        here, last = here >> 1, last >> 1
    return not last and node == expected


class Frontier:
    """The right edge of a growing tree: the complete subtrees that it is made of, largest first. Memory and the work
    of an append are logarithmic."""

    def __init__(self) -> None:
        self.size = 0
        self._nodes: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """One more leaf, by its hash."""
        node, size = leaf, self.size
        while size & 1:
            node, size = node_hash(self._nodes.pop(), node), size >> 1
        self._nodes.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._nodes:
            return EMPTY
        node_so_far = self._nodes[-1]
        for node in reversed(self._nodes[:-1]):
            node_so_far = node_hash(node, node_so_far)
        return node_so_far
