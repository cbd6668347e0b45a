"""Tokens planted in real calls: found in arguments, task, observation and result, and in no record, log, prompt or
page."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import logging
import random
import re
import sqlite3
import string
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from support.approvers import Approvers, waiting
from support.environment import Stage, StillClock
from support.judge import NONCE
from support.tools import GIT, resource
from support.world import WEDNESDAY_NS, Plan, World, answered, codes, create, serving
from test_inspection import inspect, stream, text
from test_judging import ALLOW, DENY, PENDING, SETTINGS, Scripted, _asks_the_judge
from test_origins import database

from devtools.sandbox import ALICE, BOB, CAROL
from pdp.core.caller.redaction import redacted
from pdp.core.judge.render import render
from pdp.judge.prompts import read_prompts, shipped_prompts
from pdp.v1 import types_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")
SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": lambda token: f"please use {token} for it",
    "base64": lambda token: f"please use {base64.b64encode(token.encode()).decode()} for it",
    "split by blanks": lambda token: " ".join(token[at : at + 7] for at in range(0, len(token), 7)),
    "JSON in JSON": lambda token: json.dumps({"a": json.dumps({"b": [token]})}),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    plan = Plan(servers=(GIT,), settings=SETTINGS, finish=_asks_the_judge)
    made = create(tmp_path_factory.mktemp("planted") / "w", plan, WEDNESDAY_NS)
    stage = Stage(StillClock(WEDNESDAY_NS), approvals=True, judge=Scripted())
    async with serving(made, plan, stage) as found:
        yield found


def kinds(world: World) -> dict[str, tuple[str, str]]:
    """One of each kind, with the code that denies it in arguments."""
    draw = random.Random("planted")
    letters = "".join(draw.choices(string.ascii_letters + string.digits, k=36))
    subject = world.credential(ALICE)
    assert subject is not None
    return {
        "a key": (f"ghp_{letters}", "arguments.secret"),
        "a connection string": (f"postgres://app:{letters[:12]}@db.acme.io/orders", "arguments.secret"),
        "another's token": (world.sandbox.token(BOB, world.now_ns, aud=resource("git")), "arguments.secret"),
        "the subject's token": (subject.bearer, "arguments.own_token"),
        "the caller's token": (world.metadata("gateway")[0][1].partition(" ")[2], "arguments.own_token"),
    }


def asked(world: World, subject: str, tool: str, arguments: dict[str, str]) -> Any:
    request = world.ask(types_pb2.Credential(bearer=subject), tool, arguments)
    request.session.id = "planted"
    return request


def shows(shown: str, token: str) -> bool:
    """Whether a text holds the middle of a token in one of the spellings, however it is escaped itself."""
    middle = token[-24:-4]
    plain = re.sub(r"[\s\\\"]|\\u00[0-9a-f]{2}", "", html.unescape(shown))
    encoded = base64.b64encode(token.encode()).decode()
    return middle in plain or encoded[-28:-4] in plain


def records(world: World) -> list[str]:
    path = database(world)  # the log alone: values are kept apart from it, and erased
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return [str(bytes(row[0]), "utf-8") for row in db.execute("select bytes from records")]


async def test_planted_tokens_are_found_and_shown_nowhere(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    planted, told = kinds(world), list[str]()
    subject = planted["the subject's token"][0]
    mine = types_pb2.Credential(bearer=subject)
    judge: Any = world.stage.judge
    prompts = read_prompts(shipped_prompts(), None).prompts
    for kind, (token, code) in planted.items():
        for spelling, spelled in SPELLINGS.items():
            place = f"{kind}, {spelling}"
            # arguments: denied, and neither a judge nor a person is asked
            answer = await answered(world, asked(world, subject, "git_commit", {"message": spelled(token)}))
            assert (answer.effect, code in codes(answer)) == (DENY, True), place
            told.append(str(answer))
            # results: cut out
            call = await answered(world, world.ask(mine, "git_status"))
            assert call.effect == ALLOW, codes(call)
            result = text(spelled(token))
            answer = await inspect(world, stream(world, call.decision_id, result, credential=mine))
            (cut,) = (each for each in answer.obligations if each.kind == "redact")
            told.append(json.dumps(redacted(json.loads(result), json.loads(cut.parameters_json)["redactions"])))
            told.append(str(answer))
        # what the judge is shown besides arguments
        assert not judge.seen, kind
        request = asked(world, subject, "git_commit", {"message": f"the fix {kind}"})
        request.session.id, request.session.task = f"judged {kind}", f"Commit. {SPELLINGS['raw'](token)}"
        request.context.observation = "\n".join(spelled(token) for spelled in SPELLINGS.values())
        told.append(str(await answered(world, request)))
        assert judge.seen, kind
        # what people are shown besides
        request = asked(world, subject, "git_reset", {"repo_path": f"/srv/{kind}"})
        request.session.id, request.session.task = f"people {kind}", SPELLINGS["split by blanks"](token)
        answer = await answered(world, request)
        assert answer.effect == PENDING, codes(answer)
        for approval in waiting(answer):
            view = await Approvers(world).look(CAROL, approval)
            told.append(repr(view))  # what pages and messages are made of
        told += [repr(render(prompts, "task-fit", matter, NONCE)) for matter in judge.seen]
        judge.seen.clear()
    found = [
        (what, kind)
        for kind, (token, _) in planted.items()
        for what, texts in (
            ("record", records(world)),
            ("log", [caplog.text]),
            ("prompt, page or answer", told),
        )
        if any(shows(each, token) for each in texts)
    ]
    assert found == []
