"""A world in which every tool of some cases is registered, granted and signed: one server for each agent, with the
tools that its cases name. The policy is the shipped one; the organisation is the example, which grants these tools.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pdp.core.check import NS
from pdp.core.digest import Json
from pdp.core.judge.matter import Traits
from pdp.core.request import Ask, Bearer, SessionAsk, ToolTarget
from pdp.core.target import Annotations
from pdp.registry.pin import Server, manifest_of, pin
from pdp.registry.review import Review, ToolReview
from pdp.registry.scan import accept
from pdp.registry.scan.finding import blocking
from pdp.registry.scan.folder import definitions, folder_tools
from pdp.registry.scan.scan import scan
from pdp.tooling import sandbox
from pdp.tooling.judge_eval.cases import Case
from pdp.tooling.sandbox import ALICE, TENANT, Person, Sandbox, definition_bytes

AT_NS = 1_799_834_400 * NS  # 2027-01-13T10:00:00Z, a Wednesday within the example's business hours
CALLER = "gateway"
_OWNER = "security@acme.example"
_MANY = 10_000  # requests that may be open at once: one for each case, and nobody answers
_SETTINGS: Mapping[str, Any] = {
    "identity": {"callers": {CALLER: {"may_assert": {"task": True}}}},
    "approvals": {"open_per_subject": _MANY, "open_per_tenant": _MANY, "open_per_group": _MANY},
}
_GIT = '"servers": ["git"]'  # of the example's pack
_WHY = "The servers of the cases do not close their schemas; their owners were asked to."


@dataclass(frozen=True, slots=True)
class Ways:
    """What the organisation asks a judge for: `data.org.judge`."""

    people: str
    medium: str

    def fact(self) -> dict[str, str]:
        return {"people": self.people, "medium": self.medium}


@dataclass(frozen=True, slots=True)
class Organisation:
    """The world and the subject of every call. `left_out` are tools that nobody signs for: the scan of definitions
    (`pdp tools scan`) objects to them."""

    sandbox: Sandbox
    subject: Person
    left_out: tuple[str, ...]

    def ask(self, case: Case, definition: bytes) -> Ask:
        """The call as a gateway puts it, which vouches for the task: a session of its own, and what was read last."""
        server = _server(case.agent)
        return Ask(
            request_id=case.id,
            call_id=case.id,
            method="tools/call",
            target=ToolTarget(server.id, case.tool, definition, "", json.dumps(case.arguments).encode()),
            credential=Bearer(self.sandbox.token(self.subject, AT_NS, aud=server.resource)),
            session=SessionAsk(id=case.id, task=case.task),
            observation=case.observation,
        )


def create(
    folder: Path, cases: Sequence[Case], review: Review, ways: Ways, *, judge: Mapping[str, Any] | None = None
) -> Organisation:
    """Make the world in `folder` (emptied). `judge` is a section of that name for its configuration. Raises
    RegistryFault for tools that no manifest can hold."""
    agents = tuple(dict.fromkeys(case.agent for case in cases))
    tools = {agent: _proper(agent, tools_of(cases, agent)) for agent in agents}
    more = {} if judge is None else {"judge": judge}
    made = sandbox.create(folder, _server(agents[0]), settings={**_SETTINGS, **more})
    permissions: set[str] = set()
    for agent in agents:
        server = _server(agent)
        said = _review_of(review, tools[agent])
        pinned = pin(made.registry, server, list(tools[agent].values()), said, at_ns=AT_NS)
        permissions.update(p for each in pinned.proposals for p in each.manifest.permissions)
    _accept_likeness(made.registry)
    made.sign(AT_NS)
    made.waive([_open_schemas(agent) for agent in agents], AT_NS)
    _grant(made.policy, tools, ways)
    left_out = {case.tool for case in cases if case.tool not in tools[case.agent]}
    return Organisation(made, replace(ALICE, scopes=tuple(sorted(permissions))), tuple(sorted(left_out)))


def tools_of(cases: Sequence[Case], agent: str) -> dict[str, dict[str, Json]]:
    """Definitions by name."""
    return {case.tool: case.definition for case in cases if case.agent == agent}


def traits_of(case: Case, review: Review) -> Traits:
    """What the reviewed manifest says of a case's tool; the worst of one that nobody reviewed."""
    said = review.tools.get(case.tool)
    if said is None:
        return Traits()
    found = manifest_of(_server(case.agent), case.definition, said, reviewed_by=review.reviewed_by, at_ns=AT_NS)
    hints = Annotations(**found.annotations.model_dump())
    return Traits(found.risk, tuple(found.permissions), tuple(s.kind for s in found.sinks), hints)


def definition_of(case: Case) -> bytes:
    """As a gateway presents it."""
    return definition_bytes(case.definition)


def _server(agent: str) -> Server:
    return Server(TENANT, agent, f"https://mcp.acme.example/{agent}", _OWNER)


def _review_of(review: Review, tools: Mapping[str, object]) -> Review:
    known: dict[str, ToolReview] = {name: said for name, said in review.tools.items() if name in tools}
    return review.model_copy(update={"tools": known})


def _proper(agent: str, tools: Mapping[str, Mapping[str, Json]]) -> Mapping[str, Mapping[str, Json]]:
    bad = {one.tool for one in blocking(scan(definitions(agent, list(tools.values()))))}
    return {name: definition for name, definition in tools.items() if name not in bad}


def _accept_likeness(registry: Path) -> None:
    """What is still found is that servers of different agents have the same or similar tools."""
    found = scan(folder_tools(registry))
    accept.accept(registry, found, [one.id for one in blocking(found)], "agents of one organisation share tools")


def _open_schemas(agent: str) -> Mapping[str, Json]:
    """Nobody closes the schemas of benchmarks, and with open ones the baseline denies every change."""
    return {"id": f"EVAL-{agent}", "code": "schema.open", "server": agent, "owner": _OWNER, "reason": _WHY}


def _grant(policy: Path, tools: Mapping[str, Mapping[str, object]], ways: Ways) -> None:
    organisation = policy / "data" / "org.json"
    found = json.loads(organisation.read_text())
    found["judge"] = ways.fact()
    found["roles"][0]["grants"] += [{"server": agent, "tools": sorted(names)} for agent, names in tools.items()]
    organisation.write_text(json.dumps(found))
    pack = policy / "packs" / "acme" / "acme.rego"
    text = pack.read_text()
    pack.write_text(text.replace(_GIT, f'"servers": {json.dumps(["git", *tools])}', 1))
