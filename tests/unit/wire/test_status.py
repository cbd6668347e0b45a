"""Faults to gRPC status: every class of the tree has its row."""

from typing import Any

import grpc
from support.for_each import for_each

from pdp.core.errors import Fault, InvalidRequest, ShareExceeded
from pdp.wire.grpc.status import INTERNAL_CODE, TABLE, refusal


def tree(root: Any = Fault) -> Any:
    # an exception of another component may derive from Fault; only the tree's own module is ours to map
    children = [c for c in root.__subclasses__() if c.__module__ == Fault.__module__]
    return {root}.union(*(tree(child) for child in children))


def example(kind: Any) -> Any:
    if kind is InvalidRequest:
        return kind("target.tool.name", "is missing")
    return kind("a.code", "A sentence for the caller.", detail="for the log only")


def test_every_fault_has_a_row() -> None:
    assert set(TABLE) == tree()


def test_no_row_is_ok_or_unknown() -> None:
    assert not {grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN} & set(TABLE.values())


@for_each("kind", sorted(tree(), key=lambda k: k.__name__), ids=lambda k: k.__name__)
def test_detail_never_leaves_and_ours_are_bland(kind: Any) -> None:
    fault = example(kind)
    said = refusal(fault, "id-1")
    assert said.status is TABLE[kind]
    assert "for the log only" not in said.message
    if said.status is grpc.StatusCode.INTERNAL:
        assert (said.code, "id-1" in said.message, fault.message in said.message) == (INTERNAL_CODE, True, False)
    else:
        assert (said.code, said.message) == (fault.code, fault.message)


def test_a_share_that_was_exceeded_says_when_to_come_again() -> None:
    """In whole milliseconds, never too early; nothing is said where nothing is known."""
    waits = {wait_ns: ShareExceeded("share.rate", "Wait.", wait_ns) for wait_ns in (0, 1, 2_000_001)}
    assert {wait_ns: refusal(fault, "id-4").metadata for wait_ns, fault in waits.items()} == {
        0: (("pdp-code", "share.rate"),),
        1: (("pdp-code", "share.rate"), ("pdp-retry-after-ms", "1")),
        2_000_001: (("pdp-code", "share.rate"), ("pdp-retry-after-ms", "3")),
    }


def test_a_fault_without_a_row_is_internal() -> None:
    class Novel(InvalidRequest):
        pass

    assert refusal(Novel("field", "secret"), "id-2").status is grpc.StatusCode.INTERNAL


@for_each("error", [ValueError("secret"), TimeoutError("secret"), SystemExit(3), MemoryError()])
def test_any_other_exception_is_internal_without_its_text(error: Any) -> None:
    said = refusal(error, "id-3")
    assert said.status is grpc.StatusCode.INTERNAL
    assert "secret" not in said.message
