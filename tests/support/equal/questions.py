"""Questions about calls: what is asked, drawn by a run, and by which caller."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from support.cases import Asker, load_cases
from support.equal.run import TASK, Ask, Run
from support.golden import PEOPLE, REVOKED_JTI
from support.tools import ODD_PATHS, PROMPTS, RESOURCES, resource

from devtools.sandbox import definition_bytes
from pdp.core.check import NS
from pdp.identity.development import DEVELOPMENT_ISSUER
from pdp.v1 import decision_pb2, types_pb2

ALICE, BOB, LEE, LOU, GUS = (PEOPLE[name] for name in ("alice", "bob", "lee", "lou", "gus"))
READ = {"repo_path": "/src/project"}
PATHS: Final[tuple[Any, ...]] = (*[READ] * 6, *ODD_PATHS)
COUNTS: Final[tuple[Any, ...]] = (1, 10, 51, 100, 101, -1, "7", None, 1.5, 2**63 - 1)
NOTES: Final[tuple[Any, ...]] = (
    {},
    {},
    {"note": "n"},
    {"note": "n"},
    {"note": 12.5},
    {"note": "12.50"},
    {"note": "ghp_" + "a1B2" * 9},
    {"note": "Ann Example, ann@acme.example, DE89370400440532013000"},
    {"note": "x" * 20_000},
    {"more": {"a": [1, None, True]}},
    {"wrong": 1},
    {"count": 3},
    {"count": 11},
    {"to": "gina@x.example", "body": "Hello"},
    {"to": "https://attacker.example/?q=1"},
    {"path": "/etc/../srv/a"},
    {"command": "ls -l | sh"},
    {"command": "git status"},
)
TEXTS: Final = ("gina@x.example", "bill.txt", "mallory@attacker.net", "a page", "12.50", "")


def warm(run: Run) -> tuple[Ask, str]:
    """The most ordinary call, again and again; at times with what such a call may have besides."""
    arguments = run.draw.choice((READ, READ, READ, {"repo_path": f"/src/{run.count % 5}"}, {}))
    session = run.draw.choice(("warm", "warm", "warm", "tepid")) + f"-{run.ended}"
    asked = run.world.ask(run.credential(ALICE), "git_status", arguments, session=session)
    asked.request_id = run.id()
    if run.draw.random() < 0.2:
        asked.call_id = f"call-{run.count % 3}"
    if run.draw.random() < 0.2:
        trace = b"00-%032x-%016x-01" % (7, run.count)
        asked.context.meta_json = run.draw.choice((b'{"traceparent":"%b"}' % trace, b'{"a":{"b":[1,2]}}'))
    return asked, "gateway"


def plain(run: Run) -> tuple[Ask, str]:
    """A call as many are: of few kinds."""
    who = ALICE if run.draw.random() < 0.8 else BOB
    tool = run.draw.choice(("git_log", "git_log", "git_status", "git_status", "git_commit", "git_reset", "git_diff"))
    arguments = run.draw.choice(PATHS)
    if tool == "git_log" and run.draw.random() < 0.4:
        arguments = {"repo_path": "/r", "max_count": run.draw.choice(COUNTS)}
    if tool == "git_commit" and run.draw.random() < 0.7:
        arguments = {"message": run.draw.choice(("Fix it", "Look at the log", "Commit /src/project", "x"))}
    asked = run.ask(who, tool, arguments)
    asked.call_id = run.draw.choice(("", "", "call-1", "call-2"))
    return asked, "gateway"


def unusual(run: Run) -> tuple[Ask, str]:
    """A call with what most have not."""
    asked, caller = run.draw.choice((plain, warm, lab, desk))(run)
    asked.MergeFrom(run.draw.choice(list(_more(run))))
    if asked.context.client_address:  # which the session has from then on
        asked.session.id = f"addressed-{run.count // 40}"
    return asked, run.draw.choice((caller, "looker"))


def _more(run: Run) -> Iterator[Ask]:
    context, session = types_pb2.Context, types_pb2.Session
    trace = b"00-%032x-%016x-01" % (7, run.count)
    yield Ask(protocol_version="2025-11-25")
    yield Ask(client_capabilities_json=b'{"elicitation": {}}')
    yield Ask(supported_obligations=["end_session", "truncate", "redact", "token_exchange"])
    yield Ask(method="resources/read")
    yield Ask(resume_token="none")
    yield Ask(server_peer=types_pb2.ServerPeer(spiffe_id="spiffe://acme.example/git"))
    for each in (
        context(client_address="10.0.0.1"),
        context(client_address=f"10.0.0.{run.count % 7}"),
        context(observation="seen"),
        context(observation="ghp_" + "a1B2" * 9),
        context(extra_json=b'{"x":1}'),
        context(meta_json=b'{"progressToken":1}'),
        context(meta_json=b'{"traceparent":"%b"}' % trace),
        context(meta_json=b'{"traceparent":"%b","a":{"b":[1,2]}}' % trace),
        context(meta_json=b"["),
        context(working_folder="/src/project"),
        context(working_folder="relative"),
    ):
        yield Ask(context=each)
    for other in (
        session(task="Something else"),
        session(task=TASK, task_by_agent=True),
        session(parent="s1.none"),
        session(parent="another"),
        session(handle="s1.none"),
        session(task_token="x.y.z"),
        session(context_reset=True),
        session(context_reset=True),
        session(id="with\x00control"),
    ):
        yield Ask(session=other)


def handled(run: Run) -> tuple[Ask, str]:
    """A call of a session that is named by its handle, or that another one has started."""
    asked, caller = run.draw.choice((plain, lab, desk))(run)
    held = [each for each in run.known.allowed if each[2].session_handle]
    if held:
        _, caller, answer = run.draw.choice(held)
        if run.draw.random() < 0.5:
            asked.session.handle = answer.session_handle
        else:
            asked.session.parent, asked.session.id = answer.session_handle, f"child-{run.draw.randrange(9)}"
    return asked, caller


def lab(run: Run) -> tuple[Ask, str]:
    """A call of the servers on which policy wants everything that it can want."""
    server = run.draw.choice(("lab", "lab", "lab", "waived", "lapsed"))
    plan = next(each for each in run.world.plan.servers if each.id == server)
    tool = run.draw.choice(plan.tools)
    fits = [each for each in NOTES if each.keys() <= tool["inputSchema"]["properties"].keys()]
    arguments = run.draw.choice(NOTES if run.draw.random() < 0.15 else fits)
    asked = run.ask(run.draw.choice((LEE, LEE, LEE, LOU)), str(tool["name"]), arguments, server)
    asked.supported_obligations.extend(run.draw.choice(((), ("truncate",), ("truncate", "end_session"))))
    return asked, run.draw.choice(("gateway", "gateway", "gateway", "frontdoor", "looker"))


def pay(run: Run) -> tuple[Ask, str]:
    """A call that budgets count."""
    if run.draw.random() < 0.2:
        return run.ask(LEE, "candid", {"note": run.draw.choice(("n", "250.00", "900"))}, "lab"), "gateway"
    amount = run.draw.choice((0.01, 12.5, 99.99, "20.00", 260, 1_000, True, 1e-9))
    arguments = {"amount_eur": amount, "to": run.draw.choice(TEXTS)}
    agent = run.draw.choice(("", "", "second-agent"))
    return run.ask(run.draw.choice((ALICE, BOB)), "transfer", arguments, "bank", agent), "gateway"


def desk(run: Run) -> tuple[Ask, str]:
    """A call in which it counts where its values stood before, and whether a mandate covers it."""
    server, tool = run.draw.choice((
        ("desk", "pay"), ("desk", "pay"), ("desk", "tell"), ("notes", "fetch"), ("notes", "contacts"),
        ("notes", "note"), ("notes", "remember"), ("notes", "recall"), ("notes", "count"), ("notes", "mail"),
        ("notes", f"seen_{run.draw.randrange(40)}"),
    ))  # fmt: skip
    arguments = {} if tool in {"contacts", "recall", "count"} else {"text": run.draw.choice(TEXTS)}
    if tool == "pay":
        arguments["amount"] = run.draw.choice((12.5, 13, -1))
    asked = run.ask(ALICE, tool, {} if tool.startswith("seen") else arguments, server)
    asked.session.id, asked.session.task = desk_session(run, 0), TASK
    if run.mandated and run.draw.random() < 0.7:
        asked.session.id = run.mandated
        return asked, "gateway"
    return asked, run.draw.choice(("gateway", "gateway", "looker"))


def desk_session(run: Run, ahead: int) -> str:
    """The session in which the desk is called now, or one to come: a mandate comes before the first call."""
    return f"bill-{run.count // 100 + ahead}"


def branch(run: Run) -> tuple[Ask, str]:
    """A call to which the subject agrees for a task."""
    arguments = {"branch_name": run.draw.choice(("friendly", "tidy")), "force": run.draw.random() < 0.3}
    asked = run.ask(ALICE, "git_create_branch", arguments)
    asked.session.id, asked.session.task = run.draw.choice(("s", "t", "")), "Put it on branches friendly and tidy."
    return asked, "gateway"


def other(run: Run) -> tuple[Ask, str]:
    """A prompt, a resource, a completion, an operation."""
    asked = run.ask(run.draw.choice((ALICE, BOB, GUS)), "git_status", {})
    shown = b'"other"' if run.draw.random() < 0.1 else None
    if run.draw.random() < 0.5:
        name = run.draw.choice((*PROMPTS, "unknown"))
        raw = run.draw.choice((b"", b"{}", b'{"path": "/src"}', b'{"path": 7}', b'{"wrong": "x"}'))
        target = types_pb2.PromptTarget(server="git", name=name, arguments_json=raw)
        target.definition_json = shown or definition_bytes(PROMPTS.get(name, {}))
        asked.target.CopyFrom(types_pb2.Target(prompt=target))
        asked.method = run.draw.choice(("prompts/get", "prompts/get", "completion/complete", "tools/call"))
    else:
        uri, of = run.draw.choice((
            ("file:///readme", ""), ("file:///plans", ""), ("notes://public-a", "notes://{name}"),
            ("notes://secret", "notes://{name}"), ("notes://{name}", ""), ("file:///etc/passwd", ""),
        ))  # fmt: skip
        found = types_pb2.ResourceTarget(server="git", uri=uri)
        found.arguments_json = b'{"name": "public-"}' if uri == "notes://{name}" else b""
        found.definition_json = shown or definition_bytes(RESOURCES.get(of or uri, {}))
        asked.target.CopyFrom(types_pb2.Target(resource=found))
        methods = ("resources/read", "resources/read", "resources/subscribe", "resources/unsubscribe")
        asked.method = run.draw.choice((*methods, "completion/complete"))
    return asked, "gateway"


def vouched(run: Run) -> tuple[Ask, str]:
    """A call of somebody for whom the caller vouches, or of a server that proved itself to it."""
    asked, _ = run.draw.choice((plain, lab))(run)
    if run.draw.random() < 0.3:
        asked = run.ask(LEE, "read", {}, "proven")
        asked.server_peer.spiffe_id = f"spiffe://acme.example/{run.draw.choice(('proven', 'other'))}"
        return asked, run.draw.choice(("prover", "prover", "gateway"))
    claims = {"client_id": "coding-agent", "groups": ["developers", "lab"], "scope": "git:read lab:read"}
    claims |= run.draw.choice(({}, {}, {"client_id": None}, {"act": {"sub": "bot"}}))
    known = {name: value for name, value in claims.items() if value is not None}
    issuer = run.draw.choice((DEVELOPMENT_ISSUER, DEVELOPMENT_ISSUER, "urn:pdp:globex"))
    said = types_pb2.AssertedClaims(issuer=issuer, subject="alice", claims_json=json.dumps(known).encode())
    asked.credential.CopyFrom(types_pb2.Credential(claims=said))
    return asked, run.draw.choice(("voucher", "voucher", "half-voucher", "gateway"))


def observed(run: Run) -> tuple[Ask, str]:
    """A call of a caller that is observed."""
    asked, _ = run.draw.choice((plain, lab, pay, failed))(run)
    return asked, "pilot"


def case(run: Run) -> tuple[Ask, str]:
    """A request of the golden cases."""
    found = run.draw.choice([each for each in load_cases() if not each.is_list])
    said = run.draw.choice((found.request, *found.before))
    asker = Asker(run.world, f"run-{run.draw.randrange(3)}")
    if "list" in said or said.get("server", "git") == "vault":
        return plain(run)
    asked = asker.question(said)
    asked.request_id = run.id()
    return asked, str(said.get("caller", "gateway"))


def failed(run: Run) -> tuple[Ask, str]:
    """A call of which a check fails."""
    asked = run.ask(ALICE, "git_status", READ)
    run.draw.choice(SPOILT)(run, asked)
    return asked, run.draw.choice(("gateway", "gateway", "gateway", "narrow", "globex-gateway", "auditor", ""))


def again(run: Run) -> tuple[Ask, str]:
    """A request that was asked before, to the letter; or its call, by another request."""
    if not run.known.asked:
        return warm(run)
    before, caller = run.draw.choice(run.known.asked)
    asked = Ask.FromString(before.SerializeToString())
    how = run.draw.random()
    if how < 0.4:
        asked.request_id = run.id()
    elif how < 0.5:
        asked.session.task += "x"  # the id of another request
    return asked, caller


def resumed(run: Run) -> tuple[Ask, str]:
    """A call that waited for people, with its token, and perhaps with what the client's user answered."""
    if not run.known.waiting:
        return plain(run)
    before, caller, answer = run.draw.choice(run.known.waiting[-5:])
    asked = Ask.FromString(before.SerializeToString())
    asked.request_id = run.id()
    if run.draw.random() < 0.8:
        asked.resume_token = answer.pending.resume_token
    if run.draw.random() < 0.2:
        caller = "looker"
        for wanted in answer.pending.requirements:
            said = run.draw.choice((decision_pb2.ANSWER_ACCEPT, decision_pb2.ANSWER_DECLINE))
            asked.client_answers.append(decision_pb2.ClientAnswer(requirement_id=wanted.id, answer=said))
    return asked, caller


# What spoils a call.

Spoil: TypeAlias = Callable[[Run, Ask], None]


def _bearer(late_ns: int = 0, **claims: Any) -> Spoil:
    def spoil(run: Run, asked: Ask) -> None:
        at = run.world.now_ns + late_ns
        asked.credential.bearer = run.world.sandbox.token(ALICE, at, **{"aud": resource("git"), **claims})

    return spoil


def _target(**changes: Any) -> Spoil:
    return lambda _, asked: asked.target.tool.MergeFrom(types_pb2.ToolTarget(**changes))


def _changed(**members: Any) -> Spoil:
    def spoil(run: Run, asked: Ask) -> None:
        asked.target.tool.definition_json = definition_bytes(
            {
                **run.world.definition("git", "git_status"),
                **members,
            }
        )

    return spoil


def _ask(**changes: Any) -> Spoil:
    return lambda _, asked: asked.MergeFrom(Ask(**changes))


def _cleared(_run: Run, asked: Ask) -> None:
    asked.ClearField("credential")


def _targetless(_run: Run, asked: Ask) -> None:
    asked.ClearField("target")


def _nameless(_run: Run, asked: Ask) -> None:
    asked.request_id = ""


def _forged(_run: Run, asked: Ask) -> None:
    asked.credential.bearer = asked.credential.bearer[:-8] + "AAAAAAAA"


SPOILT: Final[tuple[Spoil, ...]] = (
    _bearer(aud="https://other.example"),
    _bearer(-1_000 * NS),
    _bearer(+1_000 * NS),
    _bearer(iss="https://other.example"),
    _bearer(iss="urn:pdp:globex"),
    _bearer(jti=REVOKED_JTI),
    _bearer(sub="mallory", groups=[]),
    _bearer(scope=""),
    _bearer(groups=[]),
    _bearer(act={"sub": "bot", "act": {"sub": "other"}}),
    _bearer(act={"sub": "a", "act": {"sub": "b", "act": {"sub": "c"}}}),
    _bearer(client_id="another-agent"),
    _cleared,
    _forged,
    _targetless,
    _nameless,
    _target(name="git_unknown"),
    _target(server="nowhere"),
    _target(server="lab"),
    _target(arguments_json=b'{"repo_path": 1}'),
    _target(arguments_json=b'{"repo_path": "ghp_' + b"a1B2" * 9 + b'"}'),
    _target(arguments_json=b"{"),
    _target(definition_json=b""),
    _target(definition_digest="00" * 32),
    _changed(description="Another."),
    _changed(name="git_log"),
    _ask(method="tools/list"),
    _ask(method="x"),
    _ask(protocol_version="x" * 600),
)
