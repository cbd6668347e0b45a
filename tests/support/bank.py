"""A world with a bank: the shipped pack about payments, with further budgets and tools for tests."""

from __future__ import annotations

import json
from typing import Any

from support.environment import Stage, StillClock
from support.tools import CHANGING, ServerPlan, resource, reviewed, tool
from support.world import WEDNESDAY_NS, DecideAnswer, Plan, World, answered

from devtools.sandbox import ALICE, Sandbox, SandboxPerson
from pdp.decide.outcomes import OutcomeReport
from pdp.policy.bundle import shipped_rego

BANK = ServerPlan(
    "bank",
    (
        tool("transfer", {"amount_eur": {"type": ["number", "string", "boolean"]}, "to": {"type": "string"}}),
        tool("look", {"to": {"type": "string"}}),
        tool("help", {}),
        tool("meter", {"n": {"type": "number"}}),
    ),
    {"transfer": CHANGING, "look": reviewed(CHANGING, cost=4), "help": CHANGING, "meter": CHANGING},
)
PACKS = shipped_rego() / "examples" / "payments"
DESK = """package packs.desk

meta := {"servers": ["bank"], "owner": "desk@acme.example"}

allow contains {"target": t.key, "code": "desk.known"} if {
	some t in input.targets
	t.name in {"look", "help", "meter"}
}
"""
DESK_TEST = """package desk_test

import data.lib.testing
import data.packs.desk

look := testing.call({"targets": [testing.tool({"key": "tool:look", "name": "look"})]})

test_looking if "desk.known" in testing.codes(desk.allow) with input as look

test_nothing_else if not "desk.known" in testing.codes(desk.allow) with input as testing.call({})
"""


def budget(
    name: str, counts: str, limit: int, *per: str, on: str = "look", window: str = "day", **more: Any
) -> dict[str, Any]:
    tools = [{"server": "bank", "tools": [on]}]
    rest = {"argument": "", "decimals": 0, "window": window, "limit": limit, **more}
    return {"name": name, "per": list(per), "on": tools, "counts": counts, **rest}


def plan(*budgets: dict[str, Any], **settings: Any) -> Plan:
    """The shipped example, with these budgets besides."""

    def finish(made: Sandbox, _at_ns: int) -> None:
        data = made.policy / "data" / "org.json"
        org = json.loads(data.read_text())
        # what the tests do within one hour is more than an agent's share
        org["budgets"] = [*(each for each in org["budgets"] if each["counts"] == "argument"), *budgets]
        data.write_text(json.dumps(org))
        (made.policy / "packs" / "desk").mkdir()
        for name, text in (("desk", DESK), ("desk_test", DESK_TEST)):
            (made.policy / "packs" / "desk" / f"{name}.rego").write_text(text)

    return Plan(servers=(BANK,), policy=PACKS, settings=settings, finish=finish)


def stage() -> Stage:
    return Stage(StillClock(WEDNESDAY_NS), approvals=True)


def call(
    world: World,
    amount: Any = None,
    who: SandboxPerson = ALICE,
    *,
    agent: str = "",
    name: str = "transfer",
    arguments: dict[str, Any] | None = None,
    **more: Any,
) -> Any:
    """A question about one of the bank's tools, by one of the person's agents."""
    arguments = arguments or ({"to": world.fresh("to")} if name != "help" else {})
    if name == "transfer" and amount is not None:
        arguments["amount_eur"] = amount
    asked = world.ask(who, name, arguments, server="bank", **more)
    asked.request_id = f"{world.now_ns} {asked.request_id}"
    if agent:
        asked.credential.bearer = world.sandbox.token(who, world.now_ns, aud=resource("bank"), client_id=agent)
    return asked


async def pay(world: World, amount: Any = None, who: SandboxPerson = ALICE, **more: Any) -> DecideAnswer:
    return await answered(world, call(world, amount, who, **more))


def figures(world: World, answer: DecideAnswer, name: str = "payments.day") -> tuple[int, int, int]:
    """Used, in flight and amount, as policy was told."""
    told = json.loads(world.value(answer.decision_id, "input").data)["budgets"]["items"]
    (found,) = (each for each in told if each["name"] == name)
    return found["used"], found["in_flight"], found["amount"]


async def report(world: World, answer: DecideAnswer, outcome: str) -> None:
    async with world._admitted("gateway", "ReportOutcome") as caller:
        await world.process.services.outcomes(OutcomeReport(answer.decision_id, "", outcome), caller)
