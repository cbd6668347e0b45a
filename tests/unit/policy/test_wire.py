from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.for_each import for_each

from pdp.policy.embedded import wire
from pdp.policy.evaluation import Status

REPLY = wire.ItemReply(7, b"s" * 32, Status.OK, b'{"a": 1}')
REPLIES = wire.ReplyBatch(b"d" * 32, 3, (REPLY, wire.ItemReply(8, b"t" * 32, Status.ERROR, b"")))


def payload(frame: bytes) -> bytes:
    (found,) = wire.Frames(1 << 20).feed(frame)
    return found


@given(
    st.integers(0, 2**64 - 1),
    st.lists(st.tuples(st.integers(0, 2**64 - 1), st.binary(max_size=64)), max_size=8),
)
def test_a_batch_comes_back_as_it_was(sequence: int, items: list[tuple[int, bytes]]) -> None:
    assert wire.read_batch(payload(wire.batch(sequence, items))) == (sequence, items)


def test_replies_come_back_as_they_were() -> None:
    assert wire.read_worker(payload(wire.replies(REPLIES))) == REPLIES


def test_a_hello_is_the_digest() -> None:
    assert wire.read_worker(payload(wire.hello(b"d" * 32))) == b"d" * 32


@given(st.data())
def test_frames_survive_any_cutting(data: st.DataObject) -> None:
    payloads = data.draw(st.lists(st.binary(max_size=20), max_size=5))
    stream = b"".join(wire.frame(p) for p in payloads)
    frames, found, at = wire.Frames(20), [], 0
    while at < len(stream):
        step = data.draw(st.integers(1, 9))
        found += frames.feed(stream[at : at + step])
        at += step
    assert found == payloads


def test_a_frame_over_the_limit_is_refused_before_it_has_come() -> None:
    with pytest.raises(wire.WireError):
        list(wire.Frames(10).feed(wire.frame(b"x" * 11)[:4]))


@for_each("cut", [1, 9, 30, 45, 60, 85])
def test_cut_replies_are_refused(cut: int) -> None:
    with pytest.raises(wire.WireError):
        wire.read_worker(payload(wire.replies(REPLIES))[:-cut])


@for_each("cut", [1, 5, 13, 20])
def test_cut_batches_are_refused(cut: int) -> None:
    with pytest.raises(wire.WireError):
        wire.read_batch(payload(wire.batch(1, [(1, b"abc"), (2, b"d")]))[:-cut])


def test_spare_bytes_are_refused() -> None:
    with pytest.raises(wire.WireError):
        wire.read_worker(payload(wire.replies(REPLIES)) + b"x")
    with pytest.raises(wire.WireError):
        wire.read_worker(payload(wire.hello(b"d" * 32)) + b"x")
    with pytest.raises(wire.WireError):
        wire.read_batch(payload(wire.batch(1, [(1, b"abc")])) + b"x")


def test_unknown_kinds_and_statuses_are_refused() -> None:
    data = payload(wire.replies(REPLIES))
    with pytest.raises(wire.WireError):
        wire.read_worker(b"Q" + data[1:])
    status_at = 1 + 32 + 8 + 4 + 8 + 32
    with pytest.raises(wire.WireError):
        wire.read_worker(data[:status_at] + b"\x09" + data[status_at + 1 :])
