"""The quota on lost workers."""

import pytest
from support.for_each import for_each

from pdp.core.call.request import Caller, Role
from pdp.core.errors import Overloaded
from pdp.core.outcome import Effect, Outcome, Reason, denied
from pdp.decide.admission import WINDOW_NS, WorkerCrashQuota

T = 1_800_000_000_000_000_000


def caller(name: str = "gw", tenant: str = "acme", kills: int = 2) -> Caller:
    return Caller(name, tenant, frozenset({Role.DECIDE}), frozenset(), max_worker_kills_per_minute=kills)


@for_each("code", ["policy.timeout", "policy.crashed"])
def test_beyond_the_quota_a_caller_waits_a_minute(code: str) -> None:
    quota = WorkerCrashQuota()
    for i in range(3):
        quota.check(caller(), T + i)
        quota.note(caller(), denied(code), T + i)
    with pytest.raises(Overloaded) as caught:
        quota.check(caller(), T + 3)
    assert caught.value.code == "caller.worker_kills"
    with pytest.raises(Overloaded):
        quota.check(caller(), T + WINDOW_NS - 1)
    quota.check(caller(), T + WINDOW_NS)  # the first one is a minute old
    quota.check(caller("other"), T + 3)
    quota.check(caller(tenant="beta"), T + 3)


def test_only_what_the_service_blames_counts() -> None:
    quota = WorkerCrashQuota()
    for _ in range(9):
        quota.note(caller(), denied("policy.unavailable"), T)  # a neighbour's fault
        quota.note(caller(), Outcome(Effect.DENY, (Reason("policy.timeout", "", "packs.acme.deny"),)), T)  # words
    quota.check(caller(), T)


def test_a_quota_of_none_bears_none() -> None:
    quota = WorkerCrashQuota()
    quota.check(caller(kills=0), T)
    quota.note(caller(kills=0), denied("policy.crashed"), T)
    with pytest.raises(Overloaded):
        quota.check(caller(kills=0), T)
