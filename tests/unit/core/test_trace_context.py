from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from support.for_each import for_each

from pdp.core.bytes.trace_context import MAX_META_BYTES, TraceParent, from_meta, parse, without_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"


def test_reads_ids_and_the_sampled_flag() -> None:
    assert parse(GOOD) == TraceParent(TRACE, SPAN, sampled=True)
    assert parse(f"00-{TRACE}-{SPAN}-00") == TraceParent(TRACE, SPAN, sampled=False)
    assert parse(f"00-{TRACE}-{SPAN}-03") == TraceParent(TRACE, SPAN, sampled=True)


def test_reads_what_it_knows_of_a_later_version() -> None:
    assert parse(f"01-{TRACE}-{SPAN}-01-more") == TraceParent(TRACE, SPAN, sampled=True)


@for_each(
    "text",
    [
        "",
        GOOD + "-more",
        GOOD + "\n",
        " " + GOOD,
        GOOD.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0g",
        f"01-{TRACE}-{SPAN}-01." + "x",
        f"01-{TRACE}-{SPAN}-01-" + "x" * 300,
        "\u0660\u0660" + GOOD[2:],
        None,
        7,
        b"00",
    ],
)
def test_malformed_is_none(text: object) -> None:
    assert parse(text) is None


@given(st.binary(max_size=200))
def test_meta_that_is_anything_never_raises(raw: bytes) -> None:
    assert from_meta(raw) is None or parse(json.loads(raw)["traceparent"]) is not None


def test_meta_names_the_parent() -> None:
    assert from_meta(json.dumps({"traceparent": GOOD, "other": {}}).encode()) == parse(GOOD)
    assert from_meta(f'{{"traceparent":"{GOOD}","traceparent":"{GOOD}"}}'.encode()) is None
    assert from_meta(json.dumps({"traceparent": GOOD, "pad": "x" * MAX_META_BYTES}).encode()) is None
    assert from_meta(b"[]") is None


def test_trace_context_is_no_part_of_what_is_asked() -> None:
    spans = {"traceparent": GOOD, "tracestate": "a=1", "baggage": "b=2"}
    assert without_context(b"") == without_context(b"{}") == without_context(json.dumps(spans).encode()) == b""
    asked = b'{"a":1,"progressToken":2}'
    assert without_context(json.dumps({"progressToken": 2, **spans, "a": 1}).encode()) == asked
    assert without_context(b'{"a":1,"a":2}') == b'{"a":1,"a":2}'
