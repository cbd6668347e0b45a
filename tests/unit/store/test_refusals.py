"""The quota on refusal records."""

from pdp.store.refusals import MAX_KEYS, OTHER, RefusalQuota

MINUTE = 60_000_000_000
KEY = ("acme", "gw", "caller.role")


def test_each_key_has_its_own_quota_and_a_minute_restores_it() -> None:
    quota = RefusalQuota(1, {})
    other = ("acme", "gw", "caller.server")
    assert [quota.note(KEY, 0), quota.note(KEY, 1), quota.note(other, 2)] == [True, False, True]
    assert quota.note(KEY, MINUTE)
    assert quota.counts() == ((*KEY, 1),)


def test_time_that_runs_back_opens_no_quota() -> None:
    quota = RefusalQuota(1, {})
    assert quota.note(KEY, 5 * MINUTE)
    assert not quota.note(KEY, 4 * MINUTE)
    assert not quota.note(KEY, 5 * MINUTE)


def test_memory_is_bounded_and_nothing_is_dropped() -> None:
    quota = RefusalQuota(0, {})
    keys = [("acme", "gw", f"c{n}") for n in range(MAX_KEYS + 50)]
    assert not any(quota.note(key, minute * MINUTE) for minute in range(3) for key in keys)
    taken = quota.counts()
    assert len(taken) <= MAX_KEYS + 1
    assert sum(count for *_, count in taken) == 3 * len(keys)
    assert OTHER in {(t, c, code) for t, c, code, _ in taken}


def test_only_changed_counts_are_saved() -> None:
    quota = RefusalQuota(0, {KEY: 4})
    assert quota.saving({}) == []
    quota.note(KEY, 0)
    assert quota.saving({}) == [(*KEY, 5)]
    quota.undone()
    assert quota.saving({}) == [(*KEY, 5)]  # the commit failed, so they are not stored yet
    quota.done({})
    assert quota.saving({}) == []


def test_what_is_told_is_counted_no_longer() -> None:
    quota = RefusalQuota(0, {KEY: 4})
    assert quota.saving({KEY: 4}) == [(*KEY, 0)]
    quota.undone()
    assert quota.counts() == ((*KEY, 4),)
    assert quota.saving({KEY: 4}) == [(*KEY, 0)]
    quota.note(KEY, 0)  # after what is stored was put together
    quota.done({KEY: 4})
    assert quota.counts() == ((*KEY, 1),)
    assert quota.saving({}) == [(*KEY, 1)]
    quota.done({KEY: 1})
    assert quota.counts() == ()
