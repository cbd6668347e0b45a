"""The clock that does not run back."""

from threading import Event, Thread, get_ident
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pdp.store.clock import StoreClock

S = 1_000_000_000
T = 1_800_000_000 * S


class Time:
    def __init__(self, wall: Any = T, monotonic: Any = 50 * S) -> None:
        self.wall, self.monotonic = wall, monotonic

    def clock(self, high_water: Any = 0, **options: Any) -> Any:
        return StoreClock(lambda: self.wall, lambda: self.monotonic, high_water, **options)

    def passes(self, seconds: Any, stepped: Any = 0) -> None:
        self.monotonic += seconds * S
        self.wall += (seconds + stepped) * S


def test_it_follows_the_wall_clock() -> None:
    time = Time()
    clock = time.clock()
    time.passes(10)
    assert clock.now_ns() == T + 10 * S == clock.mark()
    assert clock.monotonic_ns() == 60 * S
    assert clock.anomaly() == ""


def test_a_wall_clock_set_back_does_not_stop_expiry() -> None:
    time = Time()
    clock = time.clock()
    time.passes(1, stepped=-3600)
    assert clock.now_ns() == T + S
    time.passes(100)
    assert clock.now_ns() == T + 101 * S
    assert clock.anomaly() == "clock.behind"
    time.passes(1, stepped=3600)
    assert clock.now_ns() == T + 102 * S
    assert clock.anomaly() == ""


def test_it_never_starts_before_the_mark() -> None:
    time = Time()
    clock = time.clock(high_water=T + 3600 * S)
    assert clock.now_ns() == T + 3600 * S
    time.passes(5)
    assert clock.now_ns() == T + 3605 * S


def test_a_leap_is_followed_flagged_and_not_persisted() -> None:
    time = Time()
    clock = time.clock(jump_limit_ns=3600 * S)
    time.passes(1, stepped=3600)
    assert clock.now_ns() == T + 3601 * S
    assert clock.anomaly() == ""
    time.passes(1, stepped=3601)
    assert clock.now_ns() == T + 7203 * S
    assert (clock.anomaly(), clock.mark()) == ("clock.jumped", None)
    clock.accept_jump()
    assert (clock.anomaly(), clock.mark()) == ("", T + 7203 * S)


def test_a_slow_wall_clock_is_followed_when_it_does_not_fall_back() -> None:
    time = Time()
    clock = time.clock()
    for _ in range(1000):  # slewed: a millisecond less per second
        time.passes(1)
        time.wall -= S // 1000
        clock.now_ns()
    assert clock.now_ns() == time.wall


@given(
    st.lists(st.tuples(st.integers(0, 10**12), st.integers(-(10**13), 10**13)), max_size=30), st.integers(0, 2 * T)
)
def test_it_never_runs_back(steps: Any, high_water: Any) -> None:
    time = Time()
    clock = time.clock(high_water)
    last = clock.now_ns()
    assert last >= high_water
    for passed, stepped in steps:
        time.monotonic += passed
        time.wall = max(0, time.wall + passed + stepped)
        now = clock.now_ns()
        assert now >= last
        assert now >= time.wall or now >= last
        last = now


def test_threads_count_elapsed_time_once() -> None:
    """One thread is held up between its readings of the clocks and what it makes of them."""
    time = Time()
    reading, proceed = Event(), Event()
    held: list[Thread] = []

    def monotonic() -> int:
        instant: int = time.monotonic
        if held and held[0].ident == get_ident():
            reading.set()
            proceed.wait(60)
        return instant

    clock = StoreClock(lambda: time.wall, monotonic, T + 1000 * S)  # ahead of the wall: paced by the monotonic clock
    held.append(Thread(target=clock.now_ns))
    other = Thread(target=clock.now_ns)
    held[0].start()
    assert reading.wait(60)
    time.passes(10)
    other.start()
    other.join(0.2)  # it has to wait
    proceed.set()
    for thread in (held[0], other):
        thread.join(60)
    assert clock.now_ns() == T + 1010 * S
