"""Bugs planted in budgets: what a call takes, what is reserved with its allow, and what becomes of that."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


BUDGETS = (
    *_in(
        "core/budgets",
        (
            "budget-of-a-fraction",
            "return whole if whole == scaled and whole <= MOST else None",
            "return whole if whole <= MOST else None",
            "an amount that is not exact denies",
        ),
        (
            "budget-gives-back",
            "if number is None or not number.is_finite() or not 0 <= number <= MOST:",
            "if number is None or not number.is_finite() or not number <= MOST:",
            "a negative amount is none",
        ),
        (
            "budget-of-true",
            "elif isinstance(value, (int, float)) and not isinstance(value, bool):",
            "elif isinstance(value, (int, float)):",
            "true is no number",
        ),
        (
            "budget-without-flight",
            "if any(each.used + each.in_flight + each.amount > each.key.budget.limit for each in budgets):",
            "if any(each.used + each.amount > each.key.budget.limit for each in budgets):",
            "calls in flight count",
        ),
        (
            "budget-week-from-thursday",
            '"week": (7 * _DAY, _MONDAY)',
            '"week": (7 * _DAY, 0)',
            "a week begins on Monday",
        ),
        (
            "budget-unknown-is-exceeded",
            '        status = "unknown"\n',
            "        pass\n",
            "what cannot be told is not ok",
        ),
    ),
    *_in(
        "service/budgets",
        (
            "budget-of-the-last-window",
            "parts: tuple[Json, ...] = (keys.tenant, budget.name, list(budget.unit), begins_ns)",
            "parts: tuple[Json, ...] = (keys.tenant, budget.name, list(budget.unit))",
            "a window begins anew",
        ),
        (
            "budget-of-each-child",
            "task = row.parent or row.index",
            "task = row.index",
            "a task's children share its budget",
        ),
    ),
    *_in(
        "store/budgets",
        (
            "budget-is-passed-by-a-race",
            "WHERE budgets.used + budgets.in_flight + excluded.in_flight <= $4",
            "WHERE budgets.used + excluded.in_flight <= $4",
            "the limit holds at the commit",
        ),
        (
            "budget-first-call-is-free",
            "WHERE CAST($3 AS BIGINT) BETWEEN 0 AND CAST($4 AS BIGINT)",
            "WHERE CAST($3 AS BIGINT) + CAST($4 AS BIGINT) > 0",
            "the first call of a window has the same limit",
        ),
        (
            "budget-unknown-gives-back",
            "    if outcome == UNKNOWN:\n",
            "    if not outcome:\n",
            "what nobody knows stays in flight",
        ),
        (
            "budget-settles-again",
            "    db.execute(delete(reservations).where(mine))",
            "    db.execute(select(reservations).where(mine))",
            "an outcome settles once",
        ),
    ),
    *_in(
        "store/rows",
        (
            "budget-is-not-reserved",
            "            if not self._execute(self._reserved, budget_row(each)):\n",
            "            if self._execute(self._reserved, budget_row(each)) < 0:\n",
            "what does not fit is no allow",
        ),
    ),
    *_in(
        "service/commit",
        (
            "budget-of-denials",
            "taken = reserved(decision.facts) if allows else ()",
            "taken = reserved(decision.facts)",
            "denials reserve nothing",
        ),
    ),
)
