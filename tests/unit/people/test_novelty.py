"""What is new in a call beside earlier ones."""

import json
from typing import Any

from pdp.core.approvals.view import ArgumentRow, NewFact, Novelty
from pdp.people.novelty import Precedent, novelty


def rows(**arguments: Any) -> tuple[ArgumentRow, ...]:
    kinds = {str: "string", int: "integer", float: "number"}
    return tuple(
        ArgumentRow(f"/{name.replace('_', '/')}", kinds[type(value)], json.dumps(value))
        for name, value in arguments.items()
    )


def beside(now: tuple[ArgumentRow, ...], *earlier: tuple[ArgumentRow, ...]) -> Novelty:
    found = novelty(now, [Precedent(each, mine=n == 0) for n, each in enumerate(earlier)])
    assert found is not None
    return found


def test_without_earlier_calls_nothing_is_new() -> None:
    assert novelty(rows(to="eve@evil.example"), []) is None


def test_new_recipients_hosts_and_folders_are_named() -> None:
    now = rows(to="eve@evil.example", url="https://evil.example/x", path="/etc/passwd", text="hello")
    before = rows(to="bob@acme.example", url="https://acme.example/x", path="/srv/a/b", text="hi")
    assert beside(now, before).new == (
        NewFact("recipient", "eve@evil.example", "/to"),
        NewFact("host", "evil.example", "/url"),
        NewFact("folder", "/etc", "/path"),
    )


def test_what_any_earlier_call_had_is_not_new() -> None:
    now = rows(to="BOB@acme.example", path="/srv/a/c")
    assert beside(now, rows(to="x@acme.example", path="/x/y"), rows(to="bob@acme.example", path="/srv/a/b")).new == ()


def test_an_amount_above_all_is_larger_than_ever() -> None:
    assert beside(rows(amount=900), rows(amount=100), rows(amount=150)).new == (
        NewFact("amount", "900", "/amount", "150"),
    )
    assert beside(rows(amount=150), rows(amount=100), rows(amount=150)).new == ()


def test_members_of_a_list_are_in_one_place() -> None:
    assert beside(rows(amounts_3=20), rows(amounts_0=30)).new == ()


def test_the_same_arguments_are_counted_and_those_of_the_reader() -> None:
    found = beside(rows(a="x"), rows(a="x"), rows(a="x"), rows(a="y"))
    assert (found.calls, found.same, found.mine) == (3, 2, 1)


def test_a_secret_is_neither_named_nor_the_same() -> None:
    secret = (ArgumentRow("/token", "string", '"\u27e8secret: value\u27e9"', secret=True),)
    found = beside(secret, secret)
    assert (found.same, found.new) == (0, ())
