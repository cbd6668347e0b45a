"""Bugs planted in fair shares: who is counted, when a token or a place comes back, and what a refusal costs."""

from __future__ import annotations

from mutant import Mutant

_CORE, _SERVICE = "pdp/core/shares.py", "pdp/service/shares.py"

SHARES = (
    Mutant(
        "share-bucket-forgotten",
        _CORE,
        "if full > at_ns}",
        "if full > at_ns + 5 * 10**9}",
        "only a full bucket is dropped",
    ),
    Mutant(
        "share-refused-question-costs",
        _CORE,
        "            after[holder] = full_at\n",
        "            after[holder] = self._full_at[holder] = full_at\n",
        "a refusal takes no token of the wider shares",
    ),
    Mutant(
        "share-burst-one-more",
        _CORE,
        "            if early > 0:",
        "            if early > share.interval_ns:",
        "as many as the burst, and no more",
    ),
    Mutant(
        "share-place-kept-by-refused",
        _CORE,
        "        self._taken.update(holders)\n        return None",
        "        self._taken.update(holders)\n        self._taken.update(holders[:1])\n        return None",
        "a call takes one place of each share",
    ),
    Mutant("share-place-never-left", _SERVICE, "self._shares.leave(tuple(self._held))", "pass", "places come back"),
    Mutant(
        "share-new-token-new-share",
        _SERVICE,
        "return ((Dimension.SUBJECT, caller.tenant, caller.name),)",
        "return ()",
        "calls without a verified subject are one subject's",
    ),
    Mutant(
        "share-session-of-anybody",
        _SERVICE,
        "(Dimension.SESSION, *whose, caller.name, session)",
        "(Dimension.SESSION, caller.tenant, session)",
        "nobody takes from another's session by its name",
    ),
    Mutant(
        "share-batch-is-one-question",
        _SERVICE,
        "        if number in self._asked:",
        "        if self._asked:",
        "each question of a batch counts",
    ),
    Mutant(
        "share-not-of-the-callers",
        _SERVICE,
        "self._shares.spend((*wide, *narrow))",
        "self._shares.spend(narrow)",
        "tenant and caller have a rate",
    ),
)
