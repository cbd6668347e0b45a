"""The quota on refusal records: a flood of refused requests must not become a flood of syncs."""

from __future__ import annotations

from threading import Lock

from pdp.core.check import NS

Key = tuple[str, str, str]  # tenant, caller, code

MAX_KEYS = 500  # distinct keys held; callers and codes are ours, so this is far away
OTHER: Key = ("", "", "refusals.other")  # what lies beyond even that


class RefusalQuota:
    """Per key: `per_minute` refusals are recorded one by one, the rest is counted.

    Counts wait in memory for `take`. The writer also stores them with the next commit (`unsaved`), so a crash
    loses at most what came after the last commit; `restored` are the counts found at open.
    """

    def __init__(self, per_minute: int, restored: dict[Key, int]) -> None:
        self._per_minute = per_minute
        self._minute = -1
        self._seen: dict[Key, int] = {}
        self._beyond = dict(restored)
        self._unsaved: set[Key] = set()
        self._lock = Lock()  # noted on the event loop's thread, saved on the writer's

    def note(self, key: Key, at_ns: int) -> bool:
        """True when this refusal gets a record of its own."""
        with self._lock:
            minute = at_ns // (60 * NS)
            if minute > self._minute:  # time that runs back opens no new quota
                self._minute = minute
                self._seen.clear()
            if key not in self._seen and len(self._seen) >= MAX_KEYS:
                key = OTHER
            count = self._seen.get(key, 0) + 1
            self._seen[key] = count
            if key != OTHER and count <= self._per_minute:
                return True
            if key not in self._beyond and len(self._beyond) >= MAX_KEYS:
                key = OTHER
            self._beyond[key] = self._beyond.get(key, 0) + 1
            self._unsaved.add(key)
            return False

    def take(self) -> tuple[tuple[str, str, str, int], ...]:
        """What was counted beyond the quota since the last call, sorted."""
        with self._lock:
            taken = tuple((*key, count) for key, count in sorted(self._beyond.items()))
            self._beyond.clear()
            self._unsaved.clear()
            return taken

    def unsaved(self, *, everything: bool) -> list[tuple[str, str, str, int]]:
        """Counts that changed since they were last stored, or all of them."""
        with self._lock:
            keys = set(self._beyond) if everything else self._unsaved
            rows = [(*key, self._beyond[key]) for key in sorted(keys)]
            self._unsaved = set()
            return rows
