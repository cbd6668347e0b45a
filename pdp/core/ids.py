"""Identifiers: UUIDv7 (RFC 9562 section 5.7), made from an instant and randomness that are passed in."""

from __future__ import annotations

from pdp.core.errors import Fault

RANDOM_BYTES = 8  # what `uuid7` needs


def uuid7(at_ns: int, random: bytes) -> str:
    """A UUIDv7 for the instant `at_ns` (Unix nanoseconds), from at least 8 random bytes.

    `rand_a` holds the fraction of the millisecond (RFC 9562 section 6.2, method 3), so ids made in order sort
    in order to about 250 ns; `rand_b` holds 62 random bits. Raises Fault (`ids.invalid`) when the instant does
    not fit into 48 bits of milliseconds or the randomness is too short.
    """
    millis, rest = divmod(at_ns, 1_000_000)
    if not 0 <= millis < 1 << 48 or len(random) < RANDOM_BYTES:
        raise Fault("ids.invalid", "an id needs an instant from 1970 on and 8 random bytes")
    fraction = rest * 4096 // 1_000_000
    tail = int.from_bytes(random[:RANDOM_BYTES], "big") & ((1 << 62) - 1)
    text = f"{millis << 80 | 7 << 76 | fraction << 64 | 2 << 62 | tail:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
