"""Looking at every value takes time on the event loop, so their number is bounded."""

import json

import pytest

from pdp.content import ArgumentContent, ContentOptions
from pdp.core.errors import InvalidRequest


def test_the_number_of_values_is_bounded_over_all_containers() -> None:
    content = ArgumentContent(ContentOptions(max_values=6))
    assert content.arguments(json.dumps({"a": [1, 2], "b": {"c": 3}, "d": 0}).encode(), None).size > 0
    with pytest.raises(InvalidRequest, match="more than 6 values") as refused:
        content.arguments(json.dumps({"a": [1, 2, 7], "b": {"c": 3}, "d": 0}).encode(), None)
    assert "7" not in refused.value.message


def test_the_default_bound_holds() -> None:
    with pytest.raises(InvalidRequest, match="more than 16384 values"):
        ArgumentContent().arguments(json.dumps({"a": [0] * 16_384}).encode(), None)
