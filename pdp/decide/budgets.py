"""Budgets of one call: which of them count it, their figures, and the reservation of an allow.

Only a call whose every check passed reserves. An unknown amount (not exact, or of no named session) is a failed check
with the worst figures: the baseline denies it, and no reservation fits.
"""

from __future__ import annotations

from pdp.core.bytes.digest import Json, first_secret, keyed_index
from pdp.core.call.budgets import Budget, BudgetFact, BudgetKey, BudgetReservation, amount_of, standing, window_of
from pdp.core.call.facts import Facts, SessionFact
from pdp.core.call.methods import label_of
from pdp.core.call.sessions import session_index
from pdp.core.call.stored import CallKeys
from pdp.core.check import OK, failed
from pdp.decide.decision import Decision

_AMOUNT = failed(
    "budget.amount", "What the call would take from a budget cannot be told exactly; correct the argument."
)
_RESTORED = failed(
    "budget.restored", "What the budget had left is not known since the store was restored; wait for its next window."
)
_SESSION = failed("budget.session", "A budget counts by session or task; send the session's id.")


def keyed(decision: Decision, keys: CallKeys, index_key: bytes) -> tuple[BudgetKey, ...]:
    """The budgets that count the call, with their keyed indexes in the current window."""
    declared, target = decision.snapshot.policy.budgets, decision.target
    if not declared or keys.call is None:
        return ()
    tool = label_of(target.kind, target.name)
    return tuple(
        [_key(budget, decision, keys, index_key) for budget in declared if budget.counted(target.server, tool)]
    )


def _key(budget: Budget, decision: Decision, keys: CallKeys, index_key: bytes) -> BudgetKey:
    subject, target = decision.identity.subject, decision.target
    whose: dict[str, Json] = {
        "subject": [subject.issuer, subject.id],
        "agent": decision.identity.agent.id,
        "tool": [target.server, target.key],
        "session": session_index(first_secret(index_key), decision.caller, decision.ask.session.id),
        "task": "",  # known only with its session: a column of its own
    }
    begins_ns, ends_ns = window_of(budget.window, decision.at_ns)
    parts: tuple[Json, ...] = (keys.tenant, budget.name, list(budget.unit), begins_ns)
    index = keyed_index(index_key, "budget", *parts, [whose[each] for each in sorted(budget.per)])
    return BudgetKey(budget, index, begins_ns, ends_ns)


def standing_for(decision: Decision, session: SessionFact) -> tuple[BudgetFact, ...]:
    """The figures of the call's budgets."""
    return tuple([_standing(key, decision) for key in decision.budgets]) if session.check.ok else ()


def _standing(key: BudgetKey, decision: Decision) -> BudgetFact:
    budget, row, task = key.budget, decision.session, ""
    if key.from_ns < decision.stored.restored_ns:
        return BudgetFact(key, _RESTORED)
    if row is None and not {"session", "task"}.isdisjoint(budget.per):
        return BudgetFact(key, _SESSION)
    if row is not None and "task" in budget.per:
        task = row.parent or row.index
    arguments = decision.checked
    amount = amount_of(budget, cost=decision.target.cost, size=arguments.size, arguments=arguments.value)
    if amount is None:
        return BudgetFact(key, _AMOUNT)
    used, in_flight = standing(decision.stored.budgets, key, task)
    return BudgetFact(key, OK, task, used, in_flight, amount)


def reserved(facts: Facts) -> tuple[BudgetReservation, ...]:
    """The reservations of an allow of the call."""
    return tuple(map(BudgetFact.reservation, facts.budgets))
