"""A test over cases fails with each case that fails."""

import pytest
from support.for_each import for_each


def test_every_case_is_run_and_each_that_fails_is_named() -> None:
    seen = []

    @for_each(("a", "b"), [(1, 1), (1, 2), (2, 2), (0, 1)])
    def compare(a: int, b: int, offset: int) -> None:
        seen.append((a, b))
        assert a + offset == b
        if a == 2:
            pytest.skip("not seen")

    with pytest.raises(BaseExceptionGroup) as failed:
        compare(offset=0)
    assert seen == [(1, 1), (1, 2), (2, 2), (0, 1)]
    assert [each.__notes__ for each in failed.value.exceptions] == [
        ["case a=1, b=2"],
        ["case a=2, b=2"],
        ["case a=0, b=1"],
    ]


async def test_one_that_waits_is_awaited() -> None:
    @for_each("a", [1, 2])
    async def small(a: int) -> None:
        assert a < 2

    with pytest.raises(BaseExceptionGroup, match="1 of 2 cases"):
        await small()


def test_without_a_case_nothing_is_shown() -> None:
    with pytest.raises(AssertionError):
        for_each("a", [])
