"""What is asked: secrets never show, and a caller asks only about its servers."""

from typing import Any

from support.for_each import for_each

from pdp.core.call.request import (
    Ask,
    AssertedClaims,
    Bearer,
    Caller,
    ListAsk,
    MayAssert,
    Role,
    SessionAsk,
    ToolTarget,
)

TARGET = ToolTarget("git", "git_status", b"{}", "", b"{}")


def ask(credential: Any) -> Any:
    return Ask("r", "c", "tools/call", TARGET, credential, SessionAsk())


@for_each("show", [repr, str, "{!r}".format, "{!s}".format])
def test_a_token_never_shows(show: Any) -> None:
    for shown in (
        Bearer("eyJ-secret"),
        ask(Bearer("eyJ-secret")),
        ListAsk("r", "git", (), Bearer("eyJ-secret"), SessionAsk()),
    ):
        assert "secret" not in show(shown)


def test_claims_never_show() -> None:
    claims = AssertedClaims("https://id.example", "ada", b'{"email":"secret@x.example"}')
    assert "secret" not in repr(ask(claims))
    assert "ada" in repr(claims)


def test_a_token_still_counts_when_compared() -> None:
    assert Bearer("a") == Bearer("a")
    assert Bearer("a") != Bearer("b")


@for_each(
    ("servers", "server", "fronts"),
    [
        ((), "git", False),
        (("git",), "git", True),
        (("git",), "gi", False),
        (("git",), "Git", False),
        (("git",), "*", False),
        (("git",), "", False),
        (("*",), "git", True),
        (("g*",), "git", False),
    ],
)
def test_servers_of_a_caller(servers: Any, server: Any, fronts: Any) -> None:
    assert Caller("gw", "acme", frozenset(), frozenset(servers)).fronts(server) is fronts


def test_a_caller_may_do_nothing_by_default() -> None:
    caller = Caller("gw", "acme", frozenset(), frozenset())
    assert caller.may_assert == MayAssert((), False, False, False)
    assert caller.resources == ()
    assert not caller.dedupes_redemptions


def test_a_session_claims_nothing_by_default() -> None:
    assert SessionAsk() == SessionAsk("", "", False, "", "", "", False)


def test_roles_are_those_of_the_design() -> None:
    assert {r.value for r in Role} == {"decide", "explain", "approve", "subject", "audit", "operate"}
