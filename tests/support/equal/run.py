"""One world being asked: the requests of a seed one after the other, and what later ones are drawn from."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from support.tools import resource
from support.world import METADATA_KEY, World

from devtools.sandbox import SandboxPerson
from pdp.core.check import NS
from pdp.local.installation import DESK
from pdp.v1 import decision_pb2, types_pb2

Ask: TypeAlias = decision_pb2.DecideRequest
Response: TypeAlias = decision_pb2.DecideResponse
TOKEN_NS = 300 * NS  # for so long the same token is used again
STEPS: Final = (0.0000001, 0.25, 0.25, 0.25, 0.5, 1, 2)
LEAPS: Final = (20, 61, 200, 700)
TASK = "Pay the bill in bill.txt, 12.50 to gina@x.example."
TASKS: Final = ("", "", "", "Look at the log of /src/project.", 'Say "%s" in /r', "é" * 40, TASK)
SESSIONS: Final = ("", "a", 'b"%s', "é")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came from the socket: its bytes, or the text of an error; and in a word what it is."""

    said: str
    data: bytes
    message: Any


@dataclass(slots=True)
class Known:
    """What later requests are drawn from."""

    asked: list[tuple[Ask, str]] = field(default_factory=list)
    waiting: list[tuple[Ask, str, Response]] = field(default_factory=list)
    allowed: list[tuple[Ask, str, Response]] = field(default_factory=list)
    decided: list[str] = field(default_factory=list)  # ids

    def note(self, asked: Ask, caller: str, answer: Response) -> None:
        """Remember some of the latest."""
        self.decided = [*self.decided[-40:], answer.decision_id]
        if answer.effect == types_pb2.EFFECT_PENDING:
            self.waiting = [*self.waiting[-12:], (asked, caller, answer)]
        if answer.effect == types_pb2.EFFECT_ALLOW:
            self.allowed = [*self.allowed[-25:], (asked, caller, answer)]


Body: TypeAlias = Callable[["Run"], Awaitable[Reply]]


class Run:
    """The requests of one world, one after the other, of kinds by their names, each with its weight and body."""

    def __init__(self, world: World, number: int, kinds: Mapping[str, tuple[float, Body]]) -> None:
        self.world, self.draw = world, random.Random(f"requests {number}")
        self.count, self.known = 0, Known()
        self.mandated = ""  # the session that got a mandate last
        self.through: list[Struct] = []  # what a gateway keeps of requests
        self.ended = 0  # sessions of the most ordinary call
        self._tokens: dict[str, tuple[int, str]] = {}
        self._callers: dict[str, tuple[int, tuple[tuple[str, str], ...]]] = {}
        self._undo: list[tuple[int, str, Body]] = []  # what is to be undone, and by which request
        self._names, self._weights = tuple(kinds), tuple(weight for weight, _ in kinds.values())
        self._bodies = {name: body for name, (_, body) in kinds.items()}

    async def next(self) -> tuple[str, Reply]:
        """The next one: its kind, and what came back."""
        self.count += 1
        leap = self.draw.random() < 0.02
        self.world.stage.clock.advance(self.draw.choice(LEAPS if leap else STEPS))
        if self._undo and self._undo[0][0] <= self.count:
            _, name, body = self._undo.pop(0)
            return name, await body(self)
        (kind,) = self.draw.choices(self._names, self._weights)
        return kind, await self._bodies[kind](self)

    def undo(self, after: int, name: str, body: Body) -> None:
        """Have this done some requests later, so that the rest is not all denied."""
        self._undo.append((self.count + after, name, body))
        self._undo.sort(key=lambda each: each[0])

    async def call(
        self, service: str, rpc: str, *requests: Message, answer: type[Message], caller: str = "gateway"
    ) -> Reply:
        """One call over the socket, of a service of ours unless all of its name is given; of several requests, a
        stream."""
        name = service if "." in service else f"pdp.v1.{service}Service"
        path, write = f"/{name}/{rpc}", type(requests[0]).SerializeToString
        metadata = self.metadata(caller)
        try:
            if rpc == "InspectResult":
                data = await self.world.channel.stream_unary(path, write)(iter(requests), metadata=metadata)
            else:
                data = await self.world.channel.unary_unary(path, write)(requests[0], metadata=metadata)
        except grpc.aio.AioRpcError as error:
            code = next((str(v) for k, v in error.trailing_metadata() or () if k == METADATA_KEY), "")
            said = f"{error.code().name} {code}: {error.details()}"
            return Reply(code or error.code().name, said.encode(), said)
        message = answer.FromString(data)
        if name == service:  # others' messages have maps, whose order is nobody's
            data = message.SerializeToString(deterministic=True)
        return Reply(_said(message), data, message)

    async def decide(self, asked: Ask, caller: str = "gateway") -> Reply:
        """A question, which is remembered."""
        self.known.asked = [*self.known.asked[-30:], (asked, caller)]
        reply = await self.call("Decision", "Decide", asked, answer=Response, caller=caller)
        if isinstance(reply.message, Response):
            self.known.note(asked, caller, reply.message)
        return reply

    def metadata(self, caller: str) -> tuple[tuple[str, str], ...]:
        """With the caller's own token, likewise."""
        until, found = self._callers.get(caller, (0, ()))
        if until < self.world.now_ns:
            found = self.world.metadata(caller)
            self._callers[caller] = self.world.now_ns + TOKEN_NS, found
        return found

    def bearer(self, who: SandboxPerson, server: str, **claims: Any) -> str:
        """A person's token, the same for some minutes."""
        name, now = json.dumps([who.id, server, claims]), self.world.now_ns
        until, found = self._tokens.get(name, (0, ""))
        if until < now:
            found = self.world.sandbox.token(who, now, **{"aud": resource(server), **claims})
            self._tokens[name] = now + TOKEN_NS, found
        return found

    def forget_tokens(self) -> None:
        """Everybody gets new ones."""
        self._tokens.clear()

    def credential(self, who: SandboxPerson, server: str = "git", **claims: Any) -> types_pb2.Credential:
        """The same as a credential."""
        return types_pb2.Credential(bearer=self.bearer(who, server, **claims))

    def person(self, who: SandboxPerson) -> types_pb2.Credential:
        """A person's own, to act with."""
        return types_pb2.Credential(bearer=self.bearer(who, "", aud=DESK, client_id="desk"))

    def id(self) -> str:
        """Of a request."""
        return f'{self.count}"%s\\'

    def ask(self, who: SandboxPerson, tool: str, arguments: Any, server: str = "git", agent: str = "") -> Ask:
        """A question about a call, within a session of that person as a rule."""
        claims = {"client_id": agent} if agent else {}
        asked = self.world.ask(self.credential(who, server, **claims), tool, arguments, server=server)
        asked.request_id = self.id()
        name = self.draw.choice(SESSIONS)
        own = self.draw.random() < 0.97  # else perhaps somebody else's
        asked.session.id = f"{name}{who.id}{agent}" if name and own else name
        if self.draw.random() < 0.3:
            asked.session.task = self.draw.choice(TASKS)
        return asked


def _said(message: Message) -> str:
    """In a word: the effect, and of what is not allowed the first reason."""
    effect = getattr(message, "effect", None)
    if effect is None:
        parts = [part.name for part in message.DESCRIPTOR.oneofs if message.WhichOneof(part.name)]
        return str(message.WhichOneof(parts[0])) if parts else "done"
    reasons: Sequence[types_pb2.Reason] = getattr(message, "reasons", ())
    name = types_pb2.Effect.Name(effect).removeprefix("EFFECT_").lower()
    return f"{name}:{reasons[0].code}" if reasons and name != "allow" else name
