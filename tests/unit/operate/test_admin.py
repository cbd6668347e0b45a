"""Which switches an operator may set, and on whom."""

from typing import Any

import pytest
from support.for_each import for_each

from pdp.core.call.request import Caller, Role
from pdp.core.errors import Forbidden, InvalidRequest
from pdp.operate.admin import Admin, SwitchAsk

T = 1_800_000_000_000_000_000


def operator(tenant: str) -> Caller:
    return Caller("op", tenant, frozenset({Role.OPERATE}), frozenset())


def row(tenant: str, scope: str, server: str = "", value: str = "", **more: Any) -> Any:
    ask = SwitchAsk(scope, server, value, engaged=True, **{"reason": "why", **more})
    return Admin._row(ask, operator(tenant), T)


@for_each(
    ("tenant", "scope", "server", "value", "made"),
    [
        ("acme", "server", "git", "", ("acme", "git", "")),
        ("acme", "tool", "git", "push", ("acme", "git", "push")),
        ("acme", "agent", "", "a", ("acme", "", "a")),
        ("acme", "subject", "", "s", ("acme", "", "s")),
        ("acme", "tenant", "", "", ("acme", "", "acme")),
        ("acme", "tenant", "", "acme", ("acme", "", "acme")),
        ("*", "everything", "", "", ("", "", "")),
        ("*", "tenant", "", "beta", ("", "", "beta")),
        ("*", "server", "git", "", ("", "git", "")),
        ("*", "subject", "", "s", ("", "", "s")),
    ],
)
def test_a_switch_reaches_no_further_than_its_operator(
    tenant: str, scope: str, server: str, value: str, made: tuple[str, str, str]
) -> None:
    found = row(tenant, scope, server, value)
    assert (found.tenant, found.server, found.value) == made
    assert (found.by, found.at_ns, found.engaged) == ("op", T, True)


@for_each(("tenant", "scope", "value"), [("acme", "everything", ""), ("acme", "tenant", "beta"), ("*", "tenant", "")])
def test_a_switch_beyond_the_operator_is_forbidden(tenant: str, scope: str, value: str) -> None:
    with pytest.raises(Forbidden) as caught:
        row(tenant, scope, value=value)
    assert caught.value.code == "caller.tenant"


@for_each(
    ("scope", "server", "value", "field"),
    [
        ("world", "", "", "switch.scope"),
        ("server", "", "", "switch.server"),
        ("tool", "", "push", "switch.server"),
        ("agent", "git", "a", "switch.server"),
        ("everything", "git", "", "switch.server"),
        ("tenant", "git", "", "switch.server"),
        ("tool", "git", "", "switch.value"),
        ("agent", "", "", "switch.value"),
        ("server", "git", "push", "switch.value"),
        ("everything", "", "x", "switch.value"),
    ],
)
def test_a_switch_with_a_part_too_many_or_too_few(scope: str, server: str, value: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        row("*", scope, server, value)
    assert caught.value.field == field


@for_each("until", [1, T - 1, T])
def test_a_switch_that_has_ended_already(until: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        row("acme", "server", "git", until_ns=until)
    assert caught.value.field == "switch.until"


def test_a_switch_that_will_end() -> None:
    assert row("acme", "server", "git", until_ns=T + 1).until_ns == T + 1


def test_a_reason_is_kept_up_to_its_bound() -> None:
    assert [len(row("acme", "server", "git", reason="r" * length).reason) for length in (1_000, 1_001)] == [1_000] * 2
