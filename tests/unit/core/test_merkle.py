"""The tree against RFC 6962's own recursion, its published vectors, and proofs that were tampered with."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from random import Random

import pytest
from support import c2sp
from support.for_each import for_each

from pdp.core.bytes.digest import leaf_hash
from pdp.proof.merkle import EMPTY, Frontier, consistency, included, inclusion, node_hash, root

LEAVES = [leaf_hash(n.to_bytes(2)) for n in range(301)]

# The inputs and roots of the reference implementation of RFC 6962.
INPUTS = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


@lru_cache(None)
def node(level: int, index: int) -> bytes:
    if not level:
        return LEAVES[index]
    return node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))


def test_the_published_roots() -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY == bytes.fromhex(hashlib.sha256().hexdigest())
    for text, expected in zip(INPUTS, ROOTS, strict=True):
        frontier.append(leaf_hash(bytes.fromhex(text)))
        assert frontier.root().hex() == expected


def test_roots_are_those_of_the_recursion() -> None:
    frontier = Frontier()
    for size in range(301):
        expected = c2sp.tree_hash(LEAVES[:size])
        assert root(size, node) == expected == frontier.root()
        if size < 300:
            frontier.append(LEAVES[size])


@pytest.mark.sweep
def test_every_proof_to_three_hundred_leaves() -> None:
    """By our verification and by one that shares nothing with it; nothing else is proved."""
    roots = [c2sp.tree_hash(LEAVES[:size]) for size in range(301)]
    for size in range(1, 301):
        for index in range(size):
            path = inclusion(index, size, node)
            assert included(LEAVES[index], index, size, path, roots[size])
            assert c2sp.root_from_path(LEAVES[index], index, size, path) == roots[size]
            assert not included(LEAVES[index + 1], index, size, path, roots[size])
            assert not included(LEAVES[index], index, size, path, roots[size - 1])
            assert not included(LEAVES[index], index, size, (*path, EMPTY), roots[size])
            assert not included(LEAVES[index], index, size, path[:-1], roots[size]) or not path
        for first in range(1, size + 1):
            path = consistency(first, size, node)
            c2sp.verify_growth((first, roots[first]), (size, roots[size]), path)


@for_each("seed", range(40))
def test_proofs_of_large_trees(seed: int) -> None:
    """Of trees whose complete subtrees are made up: a proof is of their hashes alone."""
    random = Random(seed)
    size = random.randrange(1, 1 << random.randrange(9, 50))

    @lru_cache(None)
    def made_up(level: int, index: int) -> bytes:
        """Leaves on two paths are real, everything beside them is by name."""
        here = index << level, (index + 1) << level
        if level and any(here[0] <= each < here[1] for each in on_path):
            return node_hash(made_up(level - 1, 2 * index), made_up(level - 1, 2 * index + 1))
        return hashlib.sha256(f"{level}/{index}".encode()).digest()

    index, first = random.randrange(size), random.randrange(1, size + 1)
    on_path = (index, first - 1, size - 1)
    new, old = root(size, made_up), root(first, made_up)
    path = inclusion(index, size, made_up)
    assert included(made_up(0, index), index, size, path, new)
    assert c2sp.root_from_path(made_up(0, index), index, size, path) == new
    grown = consistency(first, size, made_up)
    c2sp.verify_growth((first, old), (size, new), grown)


@for_each(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_no_proof_of_what_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="not in the tree"):
        inclusion(index, size, node)
    assert not included(LEAVES[0], index, size, (), LEAVES[0])


@for_each(("first", "second"), [(0, 3), (4, 3)])
def test_no_consistency_of_what_was_not(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="first tree"):
        consistency(first, second, node)
