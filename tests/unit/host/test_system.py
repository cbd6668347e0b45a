"""Randomness is drawn a page at a time, and given to one each."""

from concurrent.futures import ThreadPoolExecutor

from pdp.host.system import SystemEntropy


def test_no_two_are_given_the_same_by_however_many_threads() -> None:
    entropy = SystemEntropy()
    with ThreadPoolExecutor(8) as threads:
        drawn = list(threads.map(lambda _: entropy.bytes(16), range(4_000)))
    assert {len(each) for each in drawn} == {16}
    assert len(set(drawn)) == len(drawn)


def test_as_many_are_drawn_as_are_wanted() -> None:
    entropy = SystemEntropy()
    assert [len(entropy.bytes(count)) for count in (0, 1, 4_096, 4_095, 10_000, 7)] == [0, 1, 4_096, 4_095, 10_000, 7]
