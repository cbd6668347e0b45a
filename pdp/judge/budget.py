"""What tenants use up at the endpoint, and how much of it they may in a day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pdp.core.digest import Json
from pdp.judge.options import Budget, JudgeOptions

DAY_NS = 24 * 3600 * 10**9
MICROS = 1_000_000
_SHOWN = 20  # tenants in `status`


@dataclass(slots=True)
class Used:
    """By one tenant on one day; costs in millionths. `reserved` is for sessions that are under way."""

    tokens: int = 0
    cost_micros: int = 0
    reserved_tokens: int = 0
    reserved_micros: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one session may come to."""

    used: Used
    tokens: int
    cost_micros: int


class Budgets:
    """Keeps account. `wall` is Unix time in nanoseconds: a day is one of UTC."""

    def __init__(self, options: JudgeOptions, wall: Callable[[], int]) -> None:
        self._prices = options.prices
        self._default, self._own = options.budget, options.tenant_budgets
        self._wall = wall
        self._day = 0
        self._used: dict[str, Used] = {}

    def cost_micros(self, tokens_in: int, tokens_out: int) -> int:
        """What that costs; a price for a million tokens is one in millionths for one."""
        return round(tokens_in * self._prices.input_per_million + tokens_out * self._prices.output_per_million)

    def reserve(self, tenant: str, tokens_in: int, tokens_out: int) -> Reservation | None:
        """Set aside what a session may come to; None when it could break the budget."""
        used, budget = self._of(tenant), self._own.get(tenant, self._default)
        tokens, cost = tokens_in + tokens_out, self.cost_micros(tokens_in, tokens_out)
        if _over(budget, used.tokens + used.reserved_tokens + tokens, used.cost_micros + used.reserved_micros + cost):
            return None
        used.reserved_tokens += tokens
        used.reserved_micros += cost
        return Reservation(used, tokens, cost)

    def settle(self, reserved: Reservation, tokens_in: int, tokens_out: int) -> int:
        """Put what it came to in place of what was set aside: its cost in millionths."""
        used, cost = reserved.used, self.cost_micros(tokens_in, tokens_out)
        used.reserved_tokens -= reserved.tokens
        used.reserved_micros -= reserved.cost_micros
        used.tokens += tokens_in + tokens_out
        used.cost_micros += cost
        return cost

    def status(self) -> Mapping[str, Json]:
        """What was used today, by the tenants that used most."""
        self._turn()
        most = sorted(self._used.items(), key=lambda entry: -entry[1].tokens)[:_SHOWN]
        return {t: {"tokens": used.tokens, "cost": used.cost_micros / MICROS} for t, used in most}

    def _of(self, tenant: str) -> Used:
        self._turn()
        return self._used.setdefault(tenant, Used())

    def _turn(self) -> None:
        """What is under way at midnight counts for the day on which it began."""
        day = self._wall() // DAY_NS
        if day != self._day:
            self._day, self._used = day, {}


def _over(budget: Budget, tokens: int, cost_micros: int) -> bool:
    if budget.tokens_per_day is not None and tokens > budget.tokens_per_day:
        return True
    return budget.cost_per_day is not None and cost_micros > budget.cost_per_day * MICROS
