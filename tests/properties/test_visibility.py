"""What is listed is exactly what may be called at that instant, whatever a call brings with it."""

from collections import Counter
from typing import Any

import pytest
from drawn import NOON, TOOLS, calls, instants, lists, values
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_under_test import Policy
from support.facts import CALL, good_call, good_target

from pdp.core.outcome import Effect

evidence = st.lists(
    st.fixed_dictionaries(
        {
            "for": values | st.fixed_dictionaries({"id": st.sampled_from(("risk.high", "risk.medium"))}),
            "call": st.sampled_from((CALL, "")),
            "state": st.sampled_from(("met", "refused", "failed")) | values,
            "expires_ns": st.sampled_from((0, 2**62)),
        }
    ),
    max_size=2,
).map(tuple)


@settings(max_examples=80)
@given(data=st.data(), listed=lists(), at_ns=instants)
def test_visible_exactly_when_callable(policy: Policy, data: Any, listed: Any, at_ns: int) -> None:
    seen = policy.ask(listed, at_ns)
    assert seen.effect is Effect.DENY
    assert {h.key for h in seen.hidden} == {t.key for t in listed.targets} - seen.visible
    for target in listed.targets:
        for call in data.draw(st.lists(calls(shared=listed, target=target), min_size=1, max_size=2)):
            found = policy.ask(call, at_ns, data.draw(evidence))
            assert found.visible >= seen.visible & {target.key}
            if target.key not in seen.visible:
                assert found.effect is Effect.DENY
            else:
                assert not policy.listed & {reason.code for reason in found.reasons}


@given(listed=lists(), at_ns=instants)
def test_a_target_is_as_visible_alone_as_among_others(policy: Policy, listed: Any, at_ns: int) -> None:
    together = policy.ask(listed, at_ns).visible
    alone = [policy.ask(_only(listed, target), at_ns).visible for target in listed.targets]
    assert frozenset().union(*alone) == together


# What a pack could do to make lists differ from calls: look at the list itself, say of one target what is another's.
TRICKS = """package packs.tricks
meta := {"servers": ["git"], "owner": "o"}
allow contains {"target": t.key, "code": "t.alone"} if { count(input.targets) == 1; some t in input.targets }
allow contains {"target": t.key, "code": "t.pair"} if { some t in input.targets; input.targets[_].risk_level > 2 }
hide contains {"target": t.key, "code": "t.other"} if { some t in input.targets; input.targets[_].risk_level > 3 }
hide contains {"target": "tool:git_log", "code": "t.fixed"} if some t in input.targets
deny contains {"code": "t.crowd", "message": ""} if count(input.targets) > 1
deny contains {"code": "t.risky", "message": ""} if highest > 2
deny contains {"code": "t.night", "message": ""} if input.session.calls > 3
highest := max([t.risk_level | some t in input.targets])
"""


@pytest.fixture(scope="module")
def tricks() -> Policy:
    return Policy({"tricks": TRICKS})


@settings(max_examples=80)
@given(data=st.data(), listed=lists(), at_ns=instants)
def test_no_trick_makes_a_list_another_than_its_calls(tricks: Policy, data: Any, listed: Any, at_ns: int) -> None:
    """Packs are asked about each target by itself: whatever they make of the others, there are none."""
    assert {"t.risky", "t.crowd"} <= tricks.listed
    assert "t.night" not in tricks.listed
    seen = tricks.ask(listed, at_ns)
    for target in listed.targets:
        found = tricks.ask(data.draw(calls(shared=listed, target=target)), at_ns)
        denied = bool(tricks.listed & {reason.code for reason in found.reasons})
        assert (target.key in seen.visible) == (bool(found.visible) and not denied)


def _only(listed: Any, target: Any) -> Any:
    return type(listed)(**{f: getattr(listed, f) for f in listed.__slots__} | {"targets": (target,)})


def test_the_draws_reach_both_sides(policy: Policy) -> None:
    """Otherwise the properties above would hold of nothing."""
    counts: Counter[str] = Counter()

    @given(listed=lists(), at_ns=instants)
    def run(listed: Any, at_ns: int) -> None:
        seen = policy.ask(listed, at_ns)
        counts["visible" if seen.visible else "none"] += 1
        counts["hidden" if seen.hidden else "all"] += 1

    run()
    assert min(counts["visible"], counts["none"], counts["hidden"]) >= 20


def test_what_is_visible_is_callable_when_all_is_well(policy: Policy) -> None:
    for name in TOOLS:
        call = good_call(targets=(good_target(name=name, key=f"tool:{name}"),))
        found = policy.ask(call, NOON)
        assert (found.effect is Effect.ALLOW) == (name != "git_push") == bool(found.visible)
