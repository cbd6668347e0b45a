"""Properties of the shipped packs together with the example organisation, for questions of any kind."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import shipped
from hypothesis import given, settings
from hypothesis import strategies as st
from support.for_each import for_each

Json = dict[str, Any]

RANK = {"deny": 0, "pending": 1, "allow": 2}
TOOLS = ("git_status", "git_log", "git_diff", "git_add", "git_reset", "git_checkout", "send_mail")
BOOL = st.booleans()
KIND = st.sampled_from(["secret", "bearer_token", "undeclared", "hidden_unicode"])
TEXT = st.one_of(st.none(), st.text(alphabet="abc<>/ ", max_size=8))
LEAF = st.one_of(st.none(), st.booleans(), st.integers(-3, 1000), st.text(alphabet="ab1", max_size=3))


def changed(base: Json, **members: Any) -> Json:
    return {**base, **members}


@st.composite
def targets(draw: Any) -> list[Json]:
    base = json.loads(shipped.fixture("base_tool"))
    chosen = draw(st.lists(st.sampled_from(TOOLS), unique=True, min_size=1))
    found = []
    for name in chosen:
        level = draw(st.integers(1, 4))
        found.append(
            changed(
                base,
                name=name,
                key=f"tool:{name}",
                status=draw(st.sampled_from(["ok", "ok", "ok", "failed", "missing"])),
                server=draw(st.sampled_from(["git", "git", "git", "mail"])),
                risk=("low", "medium", "high", "critical")[level - 1],
                risk_level=level,
                permissions=draw(st.lists(st.sampled_from(["repo:read", "repo:write"]), unique=True)),
                schema_open=draw(BOOL),
                sinks=draw(st.lists(st.just({"kind": "email", "argument": ""}), max_size=1)),
                annotations={k: draw(BOOL) for k in ("read_only", "destructive", "idempotent", "open_world")},
            )
        )
    return found


@st.composite
def requests(draw: Any) -> Json:
    """A list of tools: everything that holds for lists and calls alike."""
    base = json.loads(shipped.fixture("listing"))
    subject = changed(
        base["subject"],
        groups=draw(st.lists(st.sampled_from(["developers", "auditors", "contractors"]), unique=True)),
        scopes=draw(st.lists(st.sampled_from(["repo:read", "repo:write"]), unique=True)),
        kind=draw(st.sampled_from(["human", "service", "unknown"])),
        source=draw(st.sampled_from(["verified", "vouched"])),
    )
    checks = changed(base["checks"])
    if draw(st.integers(0, 5)) == 0:
        broken = draw(st.sampled_from(sorted(checks)))
        checks[broken] = {"status": "failed", "code": f"{broken}.failed"}
    waiver = {"id": "w", "code": "schema.open", "server": "git", "owner": "o", "reason": "r"}
    waiver["expires_ns"] = base["time"]["ns"] + draw(st.integers(-1, 1))
    return changed(
        base,
        policy={"revision": "r", "packs": ["acme", "baseline"]},
        subject=subject,
        checks=checks,
        targets=draw(targets()),
        actors=draw(st.lists(st.just({"id": "a", "issuer": None}), max_size=3)),
        waivers=draw(st.sampled_from([[], [waiver]])),
    )


@st.composite
def call_facts(draw: Any) -> Json:
    """What only a call has, good and bad."""
    base = json.loads(shipped.fixture("base"))
    findings = [{"kind": kind, "pointer": "/a", "detail": ""} for kind in draw(st.lists(KIND, max_size=2))]
    value = draw(st.dictionaries(st.sampled_from(["max_count", "repo_path"]), LEAF, max_size=2))
    check = st.sampled_from([{"status": "ok", "code": ""}] * 3 + [{"status": "failed", "code": "x.failed"}])
    return {
        "phase": "call",
        "call_checks": {"arguments": draw(check), "session": draw(check)},
        "call": base["call"],
        "arguments": changed(base["arguments"], findings=findings, value=value),
        "session": changed(
            base["session"],
            labels=draw(st.lists(st.sampled_from(["public", "sensitive", "untrusted"]), unique=True)),
            known=draw(BOOL),
            observed=draw(BOOL),
            calls=draw(st.integers(0, 2**53 - 1)),
            denials=draw(st.integers(0, 2**53 - 1)),
        ),
        "asserted": draw(asserted()),
    }


@st.composite
def asserted(draw: Any) -> Json:
    names = ("task", "observation", "parent_session", "client_address", "definition_digest", "protocol_version")
    extra = st.dictionaries(st.sampled_from(["status", "waivers", "groups", "evidence"]), LEAF, max_size=3)
    return {**{n: draw(TEXT) for n in names}, "client_capabilities": draw(extra), "extra": draw(extra)}


@pytest.fixture(scope="module")
def engine() -> Any:
    return shipped.engine(tests=False)


def decide(engine: Any, question: Json) -> Json:
    return shipped.decide(engine, question)


steady = settings(max_examples=150, deadline=None, derandomize=True, database=None)


@steady
@given(request=requests(), facts=call_facts())
def test_visible_exactly_when_callable(engine: Any, request: Json, facts: Json) -> None:
    listed = set(decide(engine, request)["visible"])
    for target in request["targets"]:
        answer = decide(engine, {**request, **facts, "targets": [target]})
        # whatever the arguments, labels and counters are, the call stands to the target as the list does
        codes = {r["code"] for r in answer["reasons"]}
        denied = codes & {code for _, code in shipped.LISTED}
        assert (target["key"] in listed) == (bool(answer["visible"]) and not denied)
        if answer["effect"] != "deny":
            assert target["key"] in listed
        if target["key"] in listed:
            assert not codes & {"policy.not_granted", "acme.verified_person_only"}


@steady
@given(request=requests(), facts=call_facts(), forged=asserted())
def test_asserted_facts_never_change_an_answer(engine: Any, request: Json, facts: Json, forged: Json) -> None:
    question = {**request, **facts, "targets": request["targets"][:1]}
    nothing = json.loads(shipped.fixture("base"))["asserted"]
    answers = [decide(engine, {**question, "asserted": a}) for a in (facts["asserted"], forged, nothing)]
    assert answers[0] == answers[1] == answers[2]


@steady
@given(request=requests(), facts=call_facts())
def test_taking_something_away_never_loosens(engine: Any, request: Json, facts: Json) -> None:
    """A subject with no groups or scopes, an unknown kind, a session nobody observed: never a looser answer."""
    question = {**request, **facts, "targets": request["targets"][:1], "waivers": []}
    rank = RANK[decide(engine, question)["effect"]]
    subject, session = question["subject"], question["session"]
    for poorer in (
        {"subject": changed(subject, groups=[])},
        {"subject": changed(subject, scopes=[])},
        {"subject": changed(subject, kind="unknown")},
        {"session": changed(session, observed=False)},
        {"session": changed(session, known=False)},
        {"session": changed(session, labels=["sensitive", "untrusted"])},
    ):
        assert RANK[decide(engine, {**question, **poorer})["effect"]] <= rank


@for_each("key", sorted(shipped.ORG))
def test_missing_organisation_data_never_loosens(engine: Any, key: str) -> None:
    """With a key of data.org gone, each of these questions is answered as before or more strictly."""
    poorer = shipped.engine(tests=False, org={k: v for k, v in shipped.ORG.items() if k != key})
    base = json.loads(shipped.fixture("base"))
    ranks = []
    for name in TOOLS[:6]:
        for level in (1, 2, 3, 4):
            hints = {"read_only": name in TOOLS[:3], "destructive": name == "git_reset"}
            target = changed(
                base["targets"][0],
                name=name,
                key=f"tool:{name}",
                risk_level=level,
                annotations=changed(base["targets"][0]["annotations"], **hints),
            )
            question = changed(
                base,
                policy={"revision": "r", "packs": ["acme", "baseline"]},
                subject=changed(base["subject"], groups=["developers"]),
                targets=[target],
            )
            ranks.append((RANK[decide(poorer, question)["effect"]], RANK[decide(engine, question)["effect"]]))
    assert all(without <= with_all for without, with_all in ranks)
    assert {with_all for _, with_all in ranks} >= {1, 2}  # otherwise nothing could have loosened


@for_each(("people", "medium"), list(itertools.product(("filter", "advice"), ("none", "instead"))))
def test_a_judge_before_every_person(people: str, medium: str) -> None:
    """Every call that a person is asked about is heard by one judge; of others only changes of medium risk."""
    engine = shipped.engine(
        tests=False, org={**shipped.ORG, "judge": {"people": people, "medium": medium, "high": "none"}}
    )
    base, tool = (json.loads(shipped.fixture(name)) for name in ("base", "base_tool"))
    email = {"kind": "email", "argument": "/to"}
    seen = set()
    for kind, labels, risk, (read_only, destructive), sinks in itertools.product(
        ("human", "service"),
        ([], ["sensitive"]),
        (1, 2, 3, 4),
        itertools.product((True, False), repeat=2),
        ([], [email]),
    ):
        hints = changed(tool["annotations"], read_only=read_only, destructive=destructive)
        question = changed(
            base,
            subject=changed(base["subject"], kind=kind),
            session=changed(base["session"], known=True, observed=True, labels=labels, task_source="caller"),
            targets=[changed(tool, risk_level=risk, annotations=hints, sinks=sinks)],
        )
        wanted = shipped.evaluate(engine, "data.packs.baseline.require", question)
        judges = [element["id"] for element in wanted if element["kind"] == "judge"]
        instead = "judge.medium" in judges
        assert len(judges) == (1 if instead or len(wanted) > len(judges) else 0), (question, wanted)
        seen.add((len(judges), instead, len(wanted) > len(judges)))
    assert seen >= {(0, False, False), (1, False, True)}
    assert ((1, True, False) in seen) == (medium == "instead")


@steady
@given(request=requests(), facts=call_facts())
def test_the_composition_sees_every_element_of_every_pack(request: Json, facts: Json) -> None:
    """Read by full path and read as the composition does, packs say the same (see test_packages_in_files)."""
    question = {**request, **facts}
    for name in ("deny", "require", "hide", "allow"):
        paths = [f"data.packs.{pack}.{name}" for pack in PACKS[name]]
        full = [json.dumps(e) for path in paths for e in shipped.evaluate(_probe(), path, question)]
        assert sorted(full) == sorted(map(json.dumps, shipped.evaluate(_probe(), f"data.probe.{name}", question)))


PACKS = {"deny": ("acme", "baseline"), "require": ("acme", "baseline"), "hide": ("acme",), "allow": ("acme",)}
_PROBE = "package probe\n" + "".join(
    f"{name} := {{e | some p; some e in data.packs[p].{name}}}\n" for name in ("deny", "require", "hide", "allow")
)
_probes: list[Any] = []


def _probe() -> Any:
    if not _probes:
        _probes.append(shipped.engine(tests=False, extra=_PROBE))
    return _probes[0]
