"""The canonical encoding against recorded bytes, and the hashes made of it against hand-made ones."""

import hashlib
import hmac
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from support.for_each import for_each

from pdp.core.bytes.digest import (
    canonical,
    chained,
    commitment,
    digest,
    first_secret,
    keyed_hex,
    keyed_index,
    leaf_hash,
    rekeyed,
    secrets_of,
    sha256_hex,
)
from pdp.core.errors import InvalidRequest

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "jcs.json").read_text())


@for_each("case", VECTORS["values"])
def test_recorded_bytes(case: Any) -> None:
    value = json.loads(case["json"])
    assert canonical(value).hex() == case["hex"]
    assert canonical((value,)) == b"[" + canonical(value) + b"]"  # a tuple is never left to the C encoder


@for_each("case", VECTORS["refused"])
def test_what_has_no_canonical_form_is_refused(case: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        canonical(json.loads(case["json"]))
    assert caught.value.code == "request.malformed"
    with pytest.raises(InvalidRequest):
        canonical((json.loads(case["json"]),))


def test_numbers_are_written_as_ecmascript_writes_them() -> None:
    assert len(VECTORS["numbers"]) > 100
    for bits, text in VECTORS["numbers"]:
        value = struct.unpack(">d", bytes.fromhex(bits))[0]
        assert canonical(value).decode() == text, bits


@for_each("text", ["1e+21", "1e-7", "5e-324", "0"])
def test_the_numbers_that_encoders_get_wrong_are_among_the_vectors(text: Any) -> None:
    assert text in [recorded for _, recorded in VECTORS["numbers"]]


@for_each("value", [b"ab", bytearray(b"ab"), {1, 2}, frozenset(), object(), 1j, (x for x in "ab")])
def test_python_values_that_are_not_json_are_refused(value: Any) -> None:
    with pytest.raises(InvalidRequest):
        canonical(value)
    with pytest.raises(InvalidRequest):
        canonical([{"a": value}])


@for_each("key", [1, None, True, b"a", ("a",)])
def test_keys_are_texts(key: Any) -> None:
    with pytest.raises(InvalidRequest):
        canonical({key: 1})


def test_true_is_not_one() -> None:
    assert canonical([True, 1, False, 0]) == canonical((True, 1, False, 0)) == b"[true,1,false,0]"


def test_a_flat_list_of_texts_is_written_like_any_other() -> None:
    texts = [case["json"] for case in VECTORS["values"]] + ["".join(map(chr, range(0x100))), "\U0001f600", ""]
    flat = canonical([*texts, None])
    assert flat == canonical((*texts, None)) == b"[" + b",".join(map(canonical, [*texts, None])) + b"]"


def test_a_tuple_is_an_array() -> None:
    assert canonical((1, ("a",))) == b'[1,["a"]]'


def test_order_of_insertion_does_not_matter() -> None:
    one = {"b": 1, "a": {"d": 2, "c": 3}}
    other = {"a": {"c": 3, "d": 2}, "b": 1}
    assert canonical(one) == canonical(other)


def test_order_of_an_array_matters() -> None:
    assert canonical([1, 2]) != canonical([2, 1])


def test_digest_is_sha256_of_the_canonical_bytes() -> None:
    assert digest({"b": 1, "a": "é"}) == hashlib.sha256('{"a":"é","b":1}'.encode()).hexdigest()
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_leaf_hash_is_that_of_rfc_6962() -> None:
    # the empty leaf of the test vectors of the Certificate Transparency log
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert leaf_hash(b"\x00").hex() == "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
    assert leaf_hash(b"record") == hashlib.sha256(b"\x00record").digest()


def test_commitment_is_a_salted_hmac_of_path_and_value() -> None:
    made = commitment(b"salt", "arguments", b'{"a":1}')
    assert made == hmac.new(b"salt", b'arguments\x00{"a":1}', hashlib.sha256).hexdigest()
    assert made == "d84a179a7fab131110783bc42d6cf2891296580b7ffd7d661c4949870dc6ec9d"


def test_commitment_depends_on_salt_path_and_value() -> None:
    made = {
        commitment(b"salt", "arguments", b"1"),
        commitment(b"other", "arguments", b"1"),
        commitment(b"salt", "input", b"1"),
        commitment(b"salt", "arguments", b"2"),
        commitment(b"salt", "arguments1", b""),
    }
    assert len(made) == 5


def test_keyed_index_is_an_hmac_of_the_list_of_its_parts() -> None:
    made = keyed_index(b"key", "session", "acme", None, 7)
    assert made == hmac.new(b"key", b'["session","acme",null,7]', hashlib.sha256).hexdigest()


def test_a_chain_of_secrets_indexes_what_the_ones_before_say() -> None:
    secrets = (b"first", b"pdp index keys", b"")
    made = [keyed_index(chained(secrets[:n]), "session", 7) for n in (1, 2, 3)]
    assert made[0] == keyed_index(b"first", "session", 7)
    assert made[1:] == [rekeyed(index, (secret,)) for secret, index in zip(secrets[1:], made, strict=False)]
    assert len(set(made)) == 3
    assert [secrets_of(chained(secrets[:n])) for n in (1, 2, 3)] == [secrets[:n] for n in (1, 2, 3)]
    assert first_secret(chained(secrets)) == b"first"


def test_keys_of_any_length_make_an_hmac() -> None:
    for size in (0, 1, 31, 32, 63, 64, 65, 128, 200):
        key, data = bytes(range(size)), b"x" * size
        assert keyed_hex(key, data) == hmac.digest(key, data, "sha256").hex()
        assert commitment(key, "arguments", data) == hmac.digest(key, b"arguments\0" + data, "sha256").hex()


def test_keyed_index_tells_its_parts_apart() -> None:
    made = {
        keyed_index(b"key", "ab", "c"),
        keyed_index(b"key", "a", "bc"),
        keyed_index(b"key", "abc"),
        keyed_index(b"key", ["ab", "c"]),
        keyed_index(b"key", "ab", "c", ""),
        keyed_index(b"yek", "ab", "c"),
        keyed_index(b"key", "c", "ab"),
    }
    assert len(made) == 7
