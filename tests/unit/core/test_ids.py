"""UUIDv7 by RFC 9562."""

import uuid
from typing import Any

import pytest
from support.for_each import for_each

from pdp.core.errors import Fault
from pdp.core.record.encoding import RANDOM_BYTES, uuid7

ONES = b"\xff" * RANDOM_BYTES


def test_the_example_of_the_rfc() -> None:
    # RFC 9562 appendix A.6, up to `rand_a`, which holds the fraction of the millisecond here
    found = uuid7(0x017F22E279B0 * 1_000_000, bytes.fromhex("18c4dc0c0c07398f"))
    assert found == "017f22e2-79b0-7000-98c4-dc0c0c07398f"


@for_each("random", [b"\x00" * 8, ONES, bytes(range(8))])
@for_each("at_ns", [0, 1, 999_999, 1_782_907_200_123_456_789, (1 << 48) * 1_000_000 - 1])
def test_version_variant_and_time(at_ns: int, random: Any) -> None:
    found = uuid.UUID(uuid7(at_ns, random))
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert found.int >> 80 == at_ns // 1_000_000
    assert str(found) == uuid7(at_ns, random)


def test_ids_sort_as_they_were_made() -> None:
    times = [1_782_907_200_000_000_000 + n * 250 for n in range(5_000)]
    made = [uuid7(t, ONES if i % 2 else b"\x00" * 8) for i, t in enumerate(times)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_randomness_is_used() -> None:
    assert len({uuid7(1, bytes([n] * 8)) for n in range(64)}) == 64


@for_each(("at_ns", "random"), [(-1, ONES), ((1 << 48) * 1_000_000, ONES), (1, b"\x00" * 7), (1, b"")])
def test_what_makes_no_id(at_ns: int, random: Any) -> None:
    with pytest.raises(Fault) as caught:
        uuid7(at_ns, random)
    assert caught.value.code == "ids.invalid"
