import tracemalloc

from devtools.bench.soak import by_place, by_room

Frames = tuple[tuple[str, int], ...]


def _snapshot(*traces: tuple[int, Frames]) -> tracemalloc.Snapshot:
    return tracemalloc.Snapshot([(0, size, frames, len(frames)) for size, frames in traces], 8)  # type: ignore[arg-type]


_LIBRARY = ("/x/site-packages/library.py", 3)
_CACHE = ("/x/pdp/store/cache.py", 7)
_CALLER = ("/x/pdp/decide/decide.py", 9)


def test_what_grew_is_told_by_the_line_of_ours_nearest_to_the_allocation_and_by_room() -> None:
    # innermost first, as the interpreter reports them
    older = _snapshot((100, (_LIBRARY, _CACHE, _CALLER)), (50, (_CALLER,)))
    newer = _snapshot((400, (_LIBRARY, _CACHE, _CALLER)), (20, (_CALLER,)), (7, (_LIBRARY,)))
    grown = by_place(older, newer)
    assert grown == {"store/cache.py:7": 300, "decide/decide.py:9": -30, "(no line of ours)": 7}
    assert by_room(grown) == {"store": 300, "decide": -30, "(no line of ours)": 7}
