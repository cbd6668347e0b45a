"""The search for the smallest changes, against policies that are plain functions."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.for_each import for_each

from pdp.core.outcome import Effect, Outcome, Reason, denied
from pdp.core.outcome import changes as found_in
from pdp.core.outcome.changes import MAX_SETS, SearchResult, Step, apply, search
from pdp.core.outcome.policy import Bundle, Module

MOST = 601
NOW = 1_800_000_000_000_000_000


def document(**changes: Any) -> dict[str, Any]:
    ok = {"status": "ok", "code": ""}
    target = {
        "status": "ok", "code": "", "key": "tool:t", "kind": "tool", "name": "t", "server": "git", "risk": "low",
        "risk_level": 1, "permissions": [], "labels": [], "sinks": [], "schema_open": False,
        "annotations": {"read_only": True, "destructive": False, "idempotent": False, "open_world": False},
    }  # fmt: skip
    return {
        "time": {"ns": NOW},
        "checks": {name: dict(ok) for name in ("caller", "subject", "agent", "server", "switch")},
        "call_checks": {name: dict(ok) for name in ("arguments", "session")},
        "subject": {"status": "ok", "source": "verified", "kind": "human", "groups": [], "scopes": []},
        "agent": {"status": "ok", "source": "verified", "kind": "oauth_client"},
        "actors": [],
        "targets": [target],
        "call": {"digest": "d"},
        "arguments": {"status": "ok", "value": {}, "findings": []},
        "session": {"status": "ok", "labels": [], "calls": 0, "denials": 0},
        "evidence": [],
        "asserted": {"observation": None},
        **changes,
    }


OFF = {"status": "failed", "code": "switch.tool"}


def bundle(text: str = "", org: str = "{}") -> Bundle:
    return Bundle((Module("packs/a/a.rego", text),), org.encode(), b"{}", b"{}", "r", ("a",))


def alternatives(asked: dict[str, Any], known: Bundle, most: int = MOST) -> tuple[Step, ...]:
    return found_in.alternatives(asked, known, most)


ALLOW = Outcome(Effect.ALLOW, visible=frozenset({"tool:t"}))
Policy = Callable[[dict[str, Any]], Outcome]


def run(asked: dict[str, Any], steps: Any, policy: Policy, budget: int = 600) -> SearchResult:
    async def evaluate(documents: list[dict[str, Any]]) -> list[Outcome]:
        assert documents
        return [policy(each) for each in documents]

    return asyncio.run(search(asked, policy(asked), steps, budget, evaluate))


def within(limit: int) -> Policy:
    return lambda d: ALLOW if d["arguments"]["value"].get("n", 0) <= limit else denied("limit")


def test_the_nearest_number_that_policy_knows() -> None:
    asked = document(arguments={"status": "ok", "value": {"n": 500}, "findings": []})
    steps = alternatives(asked, bundle("x if count < 7 # not 450", '{"limits": [100, 20]}'))
    found = run(asked, steps, within(100))
    (change,) = found.sets[0]
    assert (change.path, change.before, change.after) == ("/arguments/value/n", 500, 100)
    assert len(found.sets) == 1  # 20 and 7 would do as well, and say nothing more
    assert not found.incomplete


@for_each(("changes", "path", "after"),
    [
        ({"checks": {**document()["checks"], "switch": OFF}}, "/checks/switch/status", "ok"),
        ({"session": {"status": "ok", "labels": ["untrusted"], "calls": 0, "denials": 0}}, "/session/labels", []),
        ({"session": {"status": "ok", "labels": [], "calls": 3, "denials": 0}}, "/session/calls", 0),
        ({"actors": [{"id": "a", "issuer": None}]}, "/actors", []),
        ({"asserted": {"observation": "seen"}}, "/asserted/observation", None),
        ({"arguments": {"status": "ok", "value": {"force": True}, "findings": []}}, "/arguments/value/force", False),
        ({"subject": {**document()["subject"], "source": "vouched"}}, "/subject/source", "verified"),
        ({"evidence": [{"state": "refused"}]}, "/evidence", []),
    ])  # fmt: skip
def test_each_kind_of_fact_has_its_alternative(changes: Any, path: str, after: Any) -> None:
    asked = document(**changes)

    def policy(d: dict[str, Any]) -> Outcome:
        return denied("no") if d == asked else ALLOW

    found = run(asked, alternatives(asked, bundle()), policy)
    assert (path, after) in [(c.path, c.after) for changed in found.sets for c in changed]


def test_a_list_of_tool_facts_and_rights() -> None:
    target = {
        **document()["targets"][0],
        "permissions": ["s"],
        "risk_level": 4,
        "risk": "critical",
        "schema_open": True,
    }
    asked = document(targets=[target])
    steps = alternatives(
        asked, bundle('"g1" in input.subject.groups', '{"roles": [{"groups": ["g2"]}], "group": "g3"}')
    )
    said = [(s.path, s.value) for s in steps]
    assert [v for p, v in said if p == "/subject/groups"] == ["g2", "g3", "g1"]
    assert ("/subject/scopes", "s") in said
    assert ("/targets/0/risk", "low") in said
    assert ("/targets/0/schema_open", False) in said
    made = apply(asked, [s for s in steps if s.path == "/targets/0/risk"])
    assert made["targets"][0]["risk_level"] == 1
    assert asked["targets"][0]["risk_level"] == 4


def test_a_waiver_comes_before_another_tool_and_only_for_what_denies() -> None:
    text = (
        'deny contains {"code": "soft", "control": "MB-4.1", "waivable": true} if x\n'
        'deny contains {"code": "hard", "control": "MB-1.1"} if x\n'
        'deny contains {"code": "other", "control": "MB-4.1", "waivable": true} if x\n'
    )
    known = replace(bundle(), modules=(Module("baseline/baseline.rego", text, shipped=True),))
    target = {**document()["targets"][0], "schema_open": True}
    asked = document(targets=[target], waivers=[], server={"id": "git"})
    steps = found_in.alternatives(asked, known, MOST, {"soft", "hard", "own"})
    paths = [s.path for s in steps]
    assert paths.index("/waivers") < paths.index("/targets/0/schema_open")
    assert [s.value["code"] for s in steps if s.path == "/waivers"] == ["soft"]
    assert "/waivers" not in [s.path for s in found_in.alternatives(asked, known, MOST)]


def test_nobody_is_one_change() -> None:
    """A credential that is not there is one fact, although two checks fail."""
    failed = {"status": "missing", "code": "x"}
    asked = document(checks={**document()["checks"], "subject": failed, "agent": failed})
    steps = [s for s in alternatives(asked, bundle()) if s.path.startswith("/checks")]
    assert [s.path for s in steps] == ["/checks/subject/status"]
    made = apply(asked, steps)
    assert {c["status"] for c in made["checks"].values()} == {"ok"}


def test_what_waits_is_allowed_when_it_is_answered() -> None:
    wanted = {"kind": "approval", "id": "a", "code": "a", "stage": 1, "ttl_seconds": 60, "pack": "p"}

    def policy(d: dict[str, Any]) -> Outcome:
        if "g" not in d["subject"]["groups"]:
            return denied("group")
        met = any(e["for"] == wanted and e["call"] == d["call"]["digest"] for e in d["evidence"])
        return ALLOW if met else Outcome(Effect.PENDING, requirements=(wanted,))

    asked = document(call={"digest": ""})
    found = run(asked, alternatives(asked, bundle('"g" in input.subject.groups')), policy)
    assert [c.path for c in found.sets[0]] == ["/subject/groups", "/evidence"]
    judged = {**wanted, "kind": "judge"}

    def judging(d: dict[str, Any]) -> Outcome:
        waits = Outcome(Effect.PENDING, requirements=(judged,))
        return waits if "g" in d["subject"]["groups"] else denied("group")

    assert run(asked, alternatives(asked, bundle('"g" in input.subject.groups')), judging).sets == ()


FLAGS = [f"f{i}" for i in range(6)]


@given(st.lists(st.frozensets(st.sampled_from(range(6)), min_size=1, max_size=4), min_size=1, max_size=3))
def test_what_it_finds_is_smallest_and_all_of_that_size(ways: list[frozenset[int]]) -> None:
    """Policy allows when every flag of one of the ways is turned; compared with trying everything."""
    asked = document(arguments={"status": "ok", "value": dict.fromkeys(FLAGS, True), "findings": []})
    steps = [Step("set", f"/arguments/value/{flag}", False) for flag in FLAGS]

    def turned(d: dict[str, Any]) -> set[int]:
        return {i for i, flag in enumerate(FLAGS) if not d["arguments"]["value"][flag]}

    def policy(d: dict[str, Any]) -> Outcome:
        off = turned(d)
        if any(way <= off for way in ways):
            return ALLOW
        return Outcome(Effect.DENY, tuple(Reason(f"way{i}.{len(w - off)}") for i, w in enumerate(ways)))

    found = run(asked, steps, policy)
    smallest = min(len(way) for way in ways)
    if smallest > 3:
        assert (found.sets, found.incomplete) == ((), True)
        return
    wanted = {c for c in itertools.combinations(range(6), smallest) if any(way <= set(c) for way in ways)}
    assert {tuple(sorted(int(c.path[-1]) for c in s)) for s in found.sets} == wanted or len(wanted) > MAX_SETS
    assert found.evaluations <= 6 + 15 + 20


def test_it_says_when_it_gives_up() -> None:
    asked = document(arguments={"status": "ok", "value": dict.fromkeys(FLAGS, True), "findings": []})
    steps = [Step("set", f"/arguments/value/{flag}", False) for flag in FLAGS]
    found = run(asked, steps, lambda _: denied("no"), budget=10)
    assert (found.sets, found.incomplete, found.evaluations) == ((), True, 10)
    assert run(asked, steps[:2], lambda _: denied("no")) == SearchResult((), False, 3)
    assert run(asked, (), lambda _: denied("no")) == SearchResult((), False, 0)


def test_no_more_is_looked_at_than_can_be_tried() -> None:
    """An agent may send tens of thousands of numbers, and an organisation's data name as many: the search ends at its
    budget, says so, and what it did not reach was never made."""
    numbers = {f"n{i}": i for i in range(20_000)}
    asked = document(arguments={"status": "ok", "value": numbers, "findings": []})
    known = bundle(org=json.dumps({"limits": list(range(1_000_000, 1_100_000))}))
    steps = alternatives(asked, known, 601)
    assert len(steps) == 601
    assert {s.path.rpartition("/")[2] for s in steps} == {f"n{i}" for i in range(76)}
    found = run(asked, steps, lambda _: denied("no"))
    assert (found.sets, found.incomplete, found.evaluations) == ((), True, 600)


@for_each(
    ("value", "near"),
    [(250, [300, 100, 1, 0]), (100, [1, 0, 300, 1000]), (1.5, [1, 0, 100, 300]), (-9, [0, 1, 100, 300])],
)
def test_numbers_come_nearest_first(value: float, near: list[int]) -> None:
    asked = document(arguments={"status": "ok", "value": {"n": value}, "findings": []})
    steps = alternatives(asked, bundle(org='{"limits": [1000, 100, 300]}'))
    assert [s.value for s in steps][:4] == near


def test_a_supposition_leaves_the_document_alone() -> None:
    asked = document(actors=[{"id": "a"}], evidence=[{"state": "refused"}])
    before = json.dumps(asked)
    steps = [
        Step("set", "/targets/0/risk", "high", (("/targets/0/risk_level", 3),)),
        Step("add", "/subject/groups", "g"),
        Step("drop", "/evidence", {"state": "refused"}),
        Step("set", "/arguments/value/a~1b", 1),
    ]
    made = apply(asked, steps)
    assert json.dumps(asked) == before
    assert (made["targets"][0]["risk"], made["targets"][0]["risk_level"]) == ("high", 3)
    assert (made["subject"]["groups"], made["evidence"], made["arguments"]["value"]) == (["g"], [], {"a/b": 1})
