"""The canonical encoding is injective: equal values share bytes, different values never do."""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pdp.core.bytes.digest import INT64_MAX, INT64_MIN, canonical, commitment, keyed_index
from pdp.core.bytes.strict_json import parse
from pdp.core.errors import InvalidRequest


def has_a_form(number: float) -> bool:
    return not (number.is_integer() and 2**63 <= abs(number) < 1e21) or number == INT64_MIN


integers = st.integers(INT64_MIN, INT64_MAX)
numbers = integers | st.floats(allow_nan=False, allow_infinity=False).filter(has_a_form)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
# few values, so that equal ones meet; and texts that look like other things
near = st.sampled_from(
    (
        None,
        True,
        False,
        0,
        1,
        -1,
        0.0,
        -0.0,
        1.0,
        1.5,
        10,
        "",
        "0",
        "1",
        "true",
        "null",
        "[]",
        "{}",
        ",",
        '"',
        "\\",
        ":",
    )
)
leaves = near | st.none() | st.booleans() | numbers | texts
keys = st.sampled_from(("", "a", "b", "ab", "\u20ac", "\U0001f600", "\ufb33", '"', "a\x00")) | texts
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
small = st.recursive(
    near, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(("", "a")), inner), max_leaves=4
)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON values: numbers by value (exactly), true is not 1, order of keys aside."""
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    return type(one) is type(other) and bool(one == other)


@given(one=trees, other=trees)
def test_different_values_have_different_bytes(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) is same(one, other)


@settings(max_examples=1000)
@given(one=small, other=small)
def test_and_so_do_values_that_are_nearly_equal(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) is same(one, other)


@st.composite
def tweaked(draw: st.DrawFn) -> tuple[Any, Any]:
    """A value, and the same with one place of it drawn again."""
    whole = draw(trees)

    def tweak(value: Any) -> Any:
        if isinstance(value, dict) and value and draw(st.booleans()):
            key = draw(st.sampled_from(sorted(value)))
            if draw(st.booleans()):
                return {**value, key: tweak(value[key])}
            return {(draw(keys) if k == key else k): v for k, v in value.items()}
        if isinstance(value, list) and value and draw(st.booleans()):
            place = draw(st.integers(0, len(value) - 1))
            return [*value[:place], tweak(value[place]), *value[place + 1 :]]
        return draw(st.sampled_from((str(value), [value], {"": value}, draw(leaves))))

    return whole, tweak(whole)


@settings(max_examples=500)
@given(pair=tweaked())
def test_one_change_anywhere_changes_the_bytes(pair: tuple[Any, Any]) -> None:
    one, other = pair
    assert (canonical(one) == canonical(other)) is same(one, other)


def test_the_draws_hold_equal_and_different_pairs() -> None:
    counts: Counter[bool] = Counter()

    @settings(max_examples=1000)
    @given(one=small, other=small)
    def run(one: Any, other: Any) -> None:
        counts[same(one, other)] += 1

    run()
    assert min(counts.values()) >= 10


@given(value=trees, data=st.data())
def test_the_order_of_keys_never_shows(value: Any, data: Any) -> None:
    def shuffled(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: shuffled(node[k]) for k in data.draw(st.permutations(list(node)))}
        return [shuffled(item) for item in node] if isinstance(node, list) else node

    assert canonical(shuffled(value)) == canonical(value)


@settings(max_examples=500)
@given(value=trees)
def test_both_ways_to_write_a_value_agree(value: Any) -> None:
    assert canonical((value,)) == b"[" + canonical(value) + b"]"  # a tuple is never left to the C encoder


@given(value=trees)
def test_the_bytes_are_json_for_the_same_value(value: Any) -> None:
    data = canonical(value)
    assert same(json.loads(data), value)
    assert canonical(json.loads(data)) == data


@given(
    value=st.recursive(
        leaves.filter(lambda v: not isinstance(v, float)), lambda i: st.lists(i) | st.dictionaries(keys, i)
    )
)
def test_the_strict_reader_reads_its_own_writing(value: Any) -> None:
    data = canonical(value)
    assert same(parse(data, "f", max_depth=64).value, value)


@settings(max_examples=1000)
@given(bits=st.integers(0, 2**64 - 1))
def test_every_double_is_written_exactly_or_refused(bits: int) -> None:
    value = struct.unpack(">d", bits.to_bytes(8, "big"))[0]
    if math.isfinite(value) and has_a_form(value):
        text = canonical(value).decode()
        assert float(text) == value
        assert "E" not in text
        assert not text.endswith(".0")
        assert "e0" not in text
        # ECMAScript: an exponent only below 1e-6 and from 1e21 on
        assert ("e" in text) is (value != 0 and not 1e-6 <= abs(value) < 1e21)
    else:
        try:
            canonical(value)
        except InvalidRequest:
            return
        raise AssertionError(bits)


@given(value=st.integers().filter(lambda n: not INT64_MIN <= n <= INT64_MAX))
def test_no_integer_beyond_int64_has_a_form(value: int) -> None:
    for whole in (value, [value], {"a": value}):
        try:
            canonical(whole)
        except InvalidRequest:
            continue
        raise AssertionError(value)


@given(one=st.lists(leaves, max_size=4), other=st.lists(leaves, max_size=4))
def test_an_index_tells_its_parts_apart(one: list[Any], other: list[Any]) -> None:
    assert (keyed_index(b"k", *one) == keyed_index(b"k", *other)) is same(one, other)


names = st.sampled_from(("arguments", "input", "a.b")) | st.text("abc.", max_size=4)


@given(
    salts=st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16)),
    paths=st.tuples(names, names),
    data=st.tuples(trees, trees),
)
def test_a_commitment_binds_salt_path_and_value(salts: Any, paths: Any, data: Any) -> None:
    made = [commitment(salts[i], paths[i], canonical(data[i])) for i in (0, 1)]
    assume(all("\x00" not in p for p in paths))
    equal = salts[0] == salts[1] and paths[0] == paths[1] and same(*data)
    assert (made[0] == made[1]) is equal
