"""Fair shares against a naive model, which remembers every question that passed."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pdp.core.call.shares import DEFAULTS, SWEPT, Dimension, FairShare, Holder, Rates, SlotCounts
from pdp.core.check import NS

SHARES = {
    Dimension.TENANT: FairShare(15 / 16, 8, 12),
    Dimension.CALLER: FairShare(7 / 8, 4, 8),
    Dimension.SUBJECT: FairShare(1 / 2, 2, 4),
    Dimension.SESSION: FairShare(1 / 4, 1, 2),
}
HOLDERS = st.builds(
    lambda tenant, caller, subject, session: (
        (Dimension.TENANT, tenant),
        (Dimension.CALLER, tenant, caller),
        (Dimension.SUBJECT, tenant, subject),
        (Dimension.SESSION, tenant, subject, session),
    ),
    *(st.sampled_from("ab") for _ in range(4)),
)
# nanoseconds between two questions: none, close by, about one token, and rests in which a bucket fills
STEPS = st.one_of(st.sampled_from((0, 1, NS // 8, NS // 4, NS, NS - 1, NS + 1, 5 * NS)), st.integers(0, 3 * NS))


@dataclass
class NaiveRates:
    """Token buckets as the textbook has them: full at the beginning, and nothing is ever forgotten."""

    tokens: dict[Holder, Fraction] = field(default_factory=dict)
    at_ns: int = 0

    def spend(self, holders: tuple[Holder, ...], at_ns: int) -> Dimension | None:
        passed, self.at_ns = at_ns - self.at_ns, at_ns
        for holder, left in self.tokens.items():
            share = SHARES[Dimension(holder[0])]
            self.tokens[holder] = min(Fraction(share.burst), left + Fraction(passed, share.interval_ns))
        for holder in holders:
            share = SHARES[Dimension(holder[0])]
            if self.tokens.setdefault(holder, Fraction(share.burst)) < 1:
                return Dimension(holder[0])
        for holder in holders:
            self.tokens[holder] -= 1
        return None


@given(st.lists(st.tuples(STEPS, HOLDERS), max_size=120))
def test_rates_are_token_buckets(questions: list[tuple[int, tuple[Holder, ...]]]) -> None:
    rates, naive, at = Rates(SHARES), NaiveRates(), 0
    for step, holders in questions:
        at += step
        found, expected = rates.spend(holders, at), naive.spend(holders, at)
        assert (found[0] if found is not None else None) == expected
        if found is None:
            continue
        dimension, wait_ns = found  # which is exact: not a nanosecond before, and then at once
        (holder,) = (each for each in holders if each[0] == dimension)
        for early, passes in ((1, False), (0, True)):
            copy = Rates(SHARES, dict(rates._full_at))
            assert (copy.spend((holder,), at + wait_ns - early) is None) is passes


@given(st.lists(st.tuples(STEPS, st.booleans(), HOLDERS), max_size=120))
def test_places(calls: list[tuple[int, bool, tuple[Holder, ...]]]) -> None:
    most = {Dimension.TENANT: 6, Dimension.CALLER: 5, Dimension.SUBJECT: 3, Dimension.SESSION: 2}
    places, inside = SlotCounts(most), list[tuple[Holder, ...]]()
    for _, leaves, holders in calls:
        if leaves and inside:
            places.leave(inside.pop(0))
            continue
        full = [d for d, holder in zip(most, holders, strict=True) if sum(holder in e for e in inside) >= most[d]]
        assert places.take(holders) == (full[0] if full else None)
        if not full:
            inside.append(holders)
        assert len(places) == len({holder for each in inside for holder in each})
    for each in inside:
        places.leave(each)
    assert len(places) == 0


def _invents(rates: Rates, count: int, interval_ns: int) -> tuple[int, int]:
    """How many questions of one subject pass, each in a session of its own, and the most buckets meanwhile."""
    passed, most = 0, 0
    for number in range(count):
        asked = ((Dimension.SUBJECT, "a", "one"), (Dimension.SESSION, "a", "one", str(number)))
        passed += rates.spend(asked, number * interval_ns) is None
        most = max(most, len(rates))
    return passed, most


def test_invented_sessions_gain_nothing() -> None:
    subject, rates = DEFAULTS[Dimension.SUBJECT], Rates(DEFAULTS)
    passed, most = _invents(rates, 20_000, NS // 2_000)
    assert passed <= subject.burst + 10 * subject.per_second + 1
    assert most <= subject.burst + 2 * SWEPT  # after a fiftieth of a second, that of a session is full
    assert rates.spend(((Dimension.SUBJECT, "a", "other"),), 20 * NS) is None
    assert len(rates) <= 2 * SWEPT


def test_invented_sessions_push_nobody_out() -> None:
    rates = Rates(DEFAULTS)
    victim = ((Dimension.SUBJECT, "a", "victim"), (Dimension.SESSION, "a", "victim", "s"))
    asked = 0
    while rates.spend(victim, 0) is None:
        asked += 1
    assert asked == DEFAULTS[Dimension.SESSION].burst
    passed, _ = _invents(rates, 2_000, 1)
    assert passed == DEFAULTS[Dimension.SUBJECT].burst
    assert rates.spend(victim, NS // 51) == (Dimension.SESSION, NS // 50 - NS // 51)
    assert rates.spend(victim, NS // 50) is None


def test_a_share_is_one_place_at_least() -> None:
    assert [DEFAULTS[each].places(256) for each in Dimension] == [240, 224, 128, 64]
    assert [DEFAULTS[each].places(16) for each in Dimension] == [15, 14, 8, 4]
    assert [DEFAULTS[each].places(1) for each in Dimension] == [1, 1, 1, 1]
