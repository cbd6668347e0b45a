"""The quota on refusal records."""

from pdp.store.refusals import MAX_KEYS, OTHER, RefusalQuota

MINUTE = 60_000_000_000
KEY = ("acme", "gw", "caller.role")


def test_each_key_has_its_own_quota_and_a_minute_restores_it() -> None:
    quota = RefusalQuota(1, {})
    other = ("acme", "gw", "caller.server")
    assert [quota.note(KEY, 0), quota.note(KEY, 1), quota.note(other, 2)] == [True, False, True]
    assert quota.note(KEY, MINUTE)
    assert quota.take() == ((*KEY, 1),)


def test_time_that_runs_back_opens_no_quota() -> None:
    quota = RefusalQuota(1, {})
    assert quota.note(KEY, 5 * MINUTE)
    assert not quota.note(KEY, 4 * MINUTE)
    assert not quota.note(KEY, 5 * MINUTE)


def test_memory_is_bounded_and_nothing_is_dropped() -> None:
    quota = RefusalQuota(0, {})
    keys = [("acme", "gw", f"c{n}") for n in range(MAX_KEYS + 50)]
    assert not any(quota.note(key, minute * MINUTE) for minute in range(3) for key in keys)
    taken = quota.take()
    assert len(taken) <= MAX_KEYS + 1
    assert sum(count for *_, count in taken) == 3 * len(keys)
    assert OTHER in {(t, c, code) for t, c, code, _ in taken}


def test_only_changed_counts_are_saved() -> None:
    quota = RefusalQuota(0, {KEY: 4})
    assert quota.unsaved(everything=False) == []
    assert quota.unsaved(everything=True) == [(*KEY, 4)]
    quota.note(KEY, 0)
    assert quota.unsaved(everything=False) == [(*KEY, 5)]
    assert quota.unsaved(everything=False) == []
