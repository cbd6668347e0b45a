"""Which kill switch reaches which request."""

from typing import Any

from support.for_each import for_each

from pdp.core.call.switches import SCOPES, Switch, Switches

NAMES = {"tenant": "acme", "server": "git", "agents": frozenset({"assistant", "planner"}), "subject": "ada"}


def switch(scope: str, *, tenant: str = "acme", server: Any = "", value: Any = "", until_ns: int = 0) -> Any:
    return Switch(tenant, scope, server, value, until_ns)


def check(*engaged: Any, at_ns: int = 1, **names: Any) -> Any:
    asked = {**NAMES, **names}
    return Switches(engaged, 1).check(
        asked["tenant"], asked["server"], agents=asked["agents"], subject=asked["subject"], at_ns=at_ns
    )


REACHING = [
    switch("everything"),
    switch("everything", tenant=""),
    switch("tenant", value="acme"),
    switch("tenant"),
    switch("tenant", tenant="", value="acme"),
    switch("server", server="git"),
    switch("server", tenant="", server="git"),
    switch("agent", value="assistant"),
    switch("agent", value="planner"),
    switch("subject", value="ada"),
]


@for_each("engaged", REACHING, ids=lambda s: f"{s.scope}-{s.tenant}")
def test_it_reaches(engaged: Any) -> None:
    found = check(engaged)
    assert (found.status, found.code) == ("failed", f"switch.{engaged.scope}")
    assert found.message


@for_each(
    "engaged",
    [
        switch("everything", tenant="other"),
        switch("tenant", tenant="other", value="other"),
        switch("tenant", tenant="other", value="acme"),
        switch("tenant", tenant="other"),
        switch("tenant", value="other"),
        switch("server", server="mail"),
        switch("server", value="git"),
        switch("server", tenant="other", server="git"),
        switch("agent", value="ada"),
        switch("agent", tenant="other", value="assistant"),
        switch("subject", value="assistant"),
        switch("subject", tenant="other", value="ada"),
        switch("tool", server="git", value="git_status"),
        switch("unheard_of", value="ada"),
    ],
    ids=lambda s: f"{s.scope}-{s.tenant}-{s.server}{s.value}",
)
def test_it_does_not_reach(engaged: Any) -> None:
    assert check(engaged).ok


def test_nothing_engaged() -> None:
    assert check().ok
    assert not Switches().tool_off("acme", "git", "git_status", 1)


def test_somebody_unknown_is_not_reached_by_an_empty_name() -> None:
    assert check(switch("agent"), switch("subject"), agents=frozenset(), subject=None).ok


@for_each(("at_ns", "live"), [(0, True), (99, True), (100, False), (101, False)])
def test_it_ends_at_its_time(at_ns: int, live: Any) -> None:
    assert check(switch("everything", until_ns=100), at_ns=at_ns).ok is not live
    off = Switches((switch("tool", server="git", value="git_status", until_ns=100),), 1)
    assert off.tool_off("acme", "git", "git_status", at_ns) is live


def test_without_a_time_it_holds_until_released() -> None:
    assert not check(switch("everything"), at_ns=2**62).ok


def test_one_that_ended_does_not_hide_one_that_holds() -> None:
    found = check(switch("everything", until_ns=1), switch("subject", value="ada"), at_ns=5)
    assert found.code == "switch.subject"


@for_each(
    ("asked", "off"),
    [
        (("acme", "git", "git_status"), True),
        (("acme", "git", "git_log"), False),
        (("acme", "mail", "git_status"), False),
        (("other", "git", "git_status"), False),
    ],
)
def test_one_tool(asked: Any, off: Any) -> None:
    engaged = Switches((switch("tool", server="git", value="git_status"),), 1)
    assert engaged.tool_off(*asked, at_ns=1) is off


def test_one_tool_in_every_tenant() -> None:
    engaged = Switches((switch("tool", tenant="", server="git", value="git_status"),), 1)
    assert engaged.tool_off("other", "git", "git_status", 1)


@for_each("scope", [s for s in SCOPES if s != "tool"])
def test_wider_switches_are_not_about_one_tool(scope: str) -> None:
    engaged = Switches((switch(scope, server="git", value="git_status"),), 1)
    assert not engaged.tool_off("acme", "git", "git_status", 1)
