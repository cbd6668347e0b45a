"""Enums of the contract and the core's words for them."""

import pytest
from support.for_each import for_each

from pdp.core.errors import InvalidRequest
from pdp.v1 import admin_pb2, approval_pb2, audit_pb2, consent_pb2, decision_pb2, explain_pb2, types_pb2
from pdp.wire.grpc.codec import enums
from pdp.wire.grpc.codec.enums import EnumMap

MAPS = {name: each for name, each in vars(enums).items() if isinstance(each, EnumMap)}
BY_HAND = {"Enforcement", "WaitOutcome"}  # one value of each is chosen by a condition, not by a word


@for_each(
    "words",
    [("low", "medium", "high"), ("low", "medium", "high", "critical", "grave"), ("low", "low", "high", "x"), ()],
)
def test_a_value_without_a_word_and_a_word_without_a_value_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(TypeError, match=r"pdp\.v1\.Risk"):
        EnumMap(types_pb2.Risk, words)


def test_a_value_that_is_left_out_must_exist_and_have_no_word() -> None:
    words = ("policy", "registry", "keys", "directory", "secrets")
    assert "prompts" not in EnumMap(admin_pb2.ReloadPart, words, without=("prompts",)).numbers
    for without in (("prompt",), ("prompts", "keys"), ()):
        with pytest.raises(TypeError):
            EnumMap(admin_pb2.ReloadPart, words, without=without)


def test_every_enum_of_the_contract_has_its_map() -> None:
    files = (admin_pb2, approval_pb2, audit_pb2, consent_pb2, decision_pb2, explain_pb2, types_pb2)
    contract = {
        (name, number)
        for file in files
        for name, enum in file.DESCRIPTOR.enum_types_by_name.items()
        for number in enum.values_by_number
        if number and name not in BY_HAND
    }
    mapped = {(each.enum_name, number) for each in MAPS.values() for number in each.words}
    assert contract - mapped == {("ReloadPart", admin_pb2.RELOAD_PART_PROMPTS)}


@for_each("name", MAPS)
def test_what_has_no_partner_is_refused_inwards_and_unspecified_outwards(name: str) -> None:
    enum = MAPS[name]
    for number in (0, 999, -1):
        with pytest.raises(InvalidRequest, match=r"filter\.x"):
            enum.word(number, "filter.x")
        with pytest.raises(InvalidRequest, match=r"filter\.x\[1\]"):
            enum.word_set([next(iter(enum.words)), number], "filter.x")
    assert enum.number("no such word") == enum.unspecified == 0
    with pytest.raises(KeyError):
        enum.numbers["no such word"]


@for_each("name", MAPS)
def test_both_directions_agree(name: str) -> None:
    enum = MAPS[name]
    assert {number: word for word, number in enum.numbers.items()} == enum.words
    assert all(enum.word(enum.number(word), "x") == word for word in enum.numbers)


def test_the_names_of_the_contract_are_the_words() -> None:
    assert enums.RISKS.numbers["high"] == types_pb2.RISK_HIGH
    assert enums.EFFECTS.words[types_pb2.EFFECT_DENY] == "deny"
    assert enums.SERVING_STATES.numbers["not_serving"] == admin_pb2.SERVING_STATE_NOT_SERVING


def test_a_list_is_bounded() -> None:
    assert enums.GRANT_STATES.word_set([approval_pb2.GRANT_STATE_ACTIVE] * 16, "states") == {"active"}
    with pytest.raises(InvalidRequest, match="states"):
        enums.GRANT_STATES.word_set([approval_pb2.GRANT_STATE_ACTIVE] * 17, "states")
