"""What the worlds of the corpus of equality are asked, drawn by a seed: calls of every kind, and what happens between
them."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import Message
from support.tools import GIT, resource
from support.world import METADATA_KEY, Plan, World

from devtools.sandbox import ALICE, BOB, SandboxPerson, definition_bytes
from pdp.v1 import decision_pb2, types_pb2

PLAN = Plan(
    servers=(GIT,),
    settings={"identity": {"callers": {"gateway": {"inspects_results": True, "may_assert": {"task": True}}}}},
)
READ = {"repo_path": "/src/project"}
ARGUMENTS: Final[tuple[Any, ...]] = (
    READ,
    READ,
    READ,
    {},
    {"repo_path": "/\u00e9 \"'%s\\u0041\u2028/%%"},
    {"repo_path": "x" * 3_000},
    *({"repo_path": "/r", "max_count": n} for n in (1, 10, 100, 101, -1, "7", None, 1.5, 2**63 - 1)),
    b'{ "repo_path" : "/a" }',
    {"repo_path": "https://user:hunter2@h.example/.git/hooks/pre-commit"},
    {"undeclared": True},
    b'{"repo_path": "a", "repo_path": "b"}',
    b"[]",
)
TASKS = ("", "", "", "Look at the log of /src/project.", 'Say "%s" in /r', "\u00e9" * 40)
SESSIONS = ("", "a", 'b"%s', "\u00e9")
TOKEN_SECONDS = 300
Spoil: TypeAlias = Callable[["World", decision_pb2.DecideRequest], None]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came from the socket: its bytes, or the text of an error; and in a word what it is."""

    said: str
    data: bytes
    message: Message | str


class Run:
    """The requests of one world, one after the other."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.draw = world, random.Random(seed)
        self.count = 0
        self.last: list[decision_pb2.DecideRequest] = []
        self.tokens: dict[str, tuple[int, types_pb2.Credential]] = {}

    async def next(self) -> tuple[str, Reply]:
        """The next one: its kind, and what came back."""
        self.count += 1
        self.world.stage.clock.advance(self.draw.choice((0.0000001, 0.25, 0.25, 0.5, 1, 2)))
        (kind,) = self.draw.choices(tuple(KINDS), tuple(weight for weight, _ in KINDS.values()))
        return kind, await KINDS[kind][1](self)

    async def call(self, rpc: str, request: Message, caller: str = "gateway", service: str = "Decision") -> Reply:
        """One call over the socket."""
        method = self.world.channel.unary_unary(f"/pdp.v1.{service}Service/{rpc}", type(request).SerializeToString)
        try:
            data = await method(request, metadata=self.world.metadata(caller))
        except grpc.aio.AioRpcError as error:
            code = next((str(v) for k, v in error.trailing_metadata() or () if k == METADATA_KEY), "")
            said = f"{error.code().name} {code}: {error.details()}"
            return Reply(code or error.code().name, said.encode(), said)
        message = RESPONSES[rpc].FromString(data)
        return Reply(_said(message), data, message)

    def credential(self, who: SandboxPerson, server: str = "git", **claims: Any) -> types_pb2.Credential:
        """A person's token for a server, the same for some minutes."""
        name, now = json.dumps([who.id, server, claims]), self.world.now_ns
        until, found = self.tokens.get(name, (0, types_pb2.Credential()))
        if until < now:
            bearer = self.world.sandbox.token(who, now, **{"aud": resource(server), **claims})
            found = types_pb2.Credential(bearer=bearer)
            self.tokens[name] = now + TOKEN_SECONDS * 10**9, found
        return found

    def ask(self, tool: str, arguments: Any, server: str = "git") -> decision_pb2.DecideRequest:
        """A question about a call."""
        who = ALICE if self.draw.random() < 0.8 else BOB
        asked = self.world.ask(self.credential(who, server), tool, arguments, server=server)
        asked.request_id = f'{self.count}"%s'
        asked.session.id = self.draw.choice(SESSIONS)
        if asked.session.id and self.draw.random() < 0.95:  # else perhaps somebody else's
            asked.session.id += who.id
        return asked

    async def plain(self) -> Reply:
        """A call as most are: of few kinds."""
        draw = self.draw
        tool = draw.choice(("git_log", "git_log", "git_log", "git_status", "git_commit", "git_reset"))
        asked = self.ask(tool, draw.choice(ARGUMENTS))
        asked.session.task = draw.choice(TASKS)
        asked.call_id = draw.choice(("", "", "call-1", "call-2"))
        return await self.decide(asked)

    async def decide(self, asked: decision_pb2.DecideRequest) -> Reply:
        """Ask it, and remember that it was asked."""
        self.last = [*self.last[-20:], asked]
        return await self.call("Decide", asked)

    async def warm(self) -> Reply:
        """The most ordinary call again."""
        asked = self.world.ask(self.credential(ALICE), "git_status", READ, session="warm")
        asked.request_id = f"warm-{self.count}"
        return await self.call("Decide", asked)

    async def again(self) -> Reply:
        """A request that was asked before, to the letter."""
        return await self.decide(self.draw.choice(self.last)) if self.last else await self.warm()

    async def unusual(self) -> Reply:
        """A call with what most have not."""
        ask, context, session = decision_pb2.DecideRequest, types_pb2.Context, types_pb2.Session
        asked = self.ask(self.draw.choice(("git_log", "git_status")), READ)
        more = (
            ask(protocol_version="2025-11-25"), ask(client_capabilities_json=b'{"a": 1}'),
            ask(supported_obligations=["end_session"]), ask(context=context(client_address="10.0.0.1")),
            ask(context=context(meta_json=b'{"progressToken":1}')), ask(context=context(meta_json=b"[")),
            ask(context=context(meta_json=b'{"traceparent":"00-%032x-%016x-01"}' % (7, self.count))),
            ask(context=context(observation="seen")), ask(context=context(extra_json=b'{"x":1}')),
            ask(resume_token="none"), ask(session=session(task_by_agent=True)),
            ask(session=session(parent="s1.none")), ask(session=session(context_reset=True)),
            ask(method="resources/read"),
        )  # fmt: skip
        asked.MergeFrom(self.draw.choice(more))
        return await self.decide(asked)

    async def failed(self) -> Reply:
        """A call of which a check fails."""
        asked = self.ask("git_status", READ)
        self.draw.choice(SPOILT)(self.world, asked)
        return await self.decide(asked)

    async def listed(self) -> Reply:
        """A list of tools."""
        tools = list(GIT.tools)
        self.draw.shuffle(tools)
        shown = [definition_bytes(each) for each in tools[: self.draw.randrange(len(tools) + 1)]]
        who = self.draw.choice((ALICE, BOB))
        asked = decision_pb2.FilterToolsRequest(
            request_id=f"list-{self.count}",
            server="git",
            method="tools/list",
            definitions_json=shown,
            presented_only=self.draw.random() < 0.5,
            credential=self.credential(who),
            session=types_pb2.Session(id=self.draw.choice(SESSIONS)),
        )
        return await self.call("FilterTools", asked)


def _said(message: Message) -> str:
    effect = getattr(message, "effect", None)
    if effect is None:
        return "done"
    return str(types_pb2.Effect.Name(effect)).removeprefix("EFFECT_").lower()


def _bearer(at_ns: int = 0, **claims: Any) -> Spoil:
    def spoil(world: World, asked: decision_pb2.DecideRequest) -> None:
        asked.credential.bearer = world.sandbox.token(
            ALICE, world.now_ns + at_ns, **{"aud": resource("git"), **claims}
        )

    return spoil


def _target(**changes: Any) -> Spoil:
    def spoil(_world: World, asked: decision_pb2.DecideRequest) -> None:
        asked.target.tool.MergeFrom(types_pb2.ToolTarget(**changes))

    return spoil


def _changed(**members: Any) -> Spoil:
    def spoil(world: World, asked: decision_pb2.DecideRequest) -> None:
        asked.target.tool.definition_json = definition_bytes({**world.definition("git", "git_status"), **members})

    return spoil


def _cleared(_world: World, asked: decision_pb2.DecideRequest) -> None:
    asked.ClearField("credential")


def _undefined(_world: World, asked: decision_pb2.DecideRequest) -> None:
    asked.target.tool.definition_json = b""


def _forged(_world: World, asked: decision_pb2.DecideRequest) -> None:
    asked.credential.bearer = asked.credential.bearer[:-8] + "AAAAAAAA"


SPOILT: Final[tuple[Spoil, ...]] = (
    _bearer(aud="https://other.example"),
    _bearer(-1_000 * 10**9),
    _bearer(+1_000 * 10**9),
    _bearer(iss="https://other.example"),
    _bearer(sub="mallory", groups=[]),
    _bearer(scope=""),
    _bearer(groups=[]),
    _bearer(act={"sub": "bot", "act": {"sub": "other"}}),
    _bearer(act={"sub": "a", "act": {"sub": "b", "act": {"sub": "c"}}}),
    _bearer(client_id="another-agent"),
    _cleared,
    _forged,
    _target(name="git_unknown"),
    _target(server="nowhere"),
    _target(arguments_json=b'{"repo_path": 1}'),
    _target(arguments_json=b'{"repo_path": "ghp_' + b"a1B2" * 9 + b'"}'),
    _target(arguments_json=b"{"),
    _changed(description="Another."),
    _changed(name="git_log"),
    _undefined,
)
RESPONSES: Mapping[str, type[Message]] = {
    "Decide": decision_pb2.DecideResponse,
    "FilterTools": decision_pb2.FilterToolsResponse,
}
KINDS: Mapping[str, tuple[float, Callable[[Run], Awaitable[Reply]]]] = {
    "plain": (40, Run.plain),
    "warm": (25, Run.warm),
    "again": (4, Run.again),
    "unusual": (10, Run.unusual),
    "failed": (10, Run.failed),
    "listed": (5, Run.listed),
}
