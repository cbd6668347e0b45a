"""Channels of a whole process: a pending call is told of, and so is its end."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

from standardwebhooks.webhooks import Webhook
from support.approvers import Approvers, waiting
from support.environment import Stage, StillClock
from support.receiver import receiving
from support.world import WEDNESDAY_NS, Plan, running

from devtools.sandbox import ALICE, CAROL

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OBLIGATIONS = ("log", "notify", "redact_result")


async def test_who_is_configured_is_told_what_waits_and_what_became_of_it(tmp_path: Path) -> None:
    secret = tmp_path / "hook.key"
    secret.write_text(KEY + "\n")
    secret.chmod(0o600)
    async with receiving() as receiver:
        hook = {
            "kind": "webhook",
            "url": f"http://127.0.0.1:{receiver.port}/in",
            "secret": f"file:{secret}",
            "events": ["opened", "resolved"],
            "allow_internal": True,
        }
        quiet = {**hook, "events": ["resolved"], "url": f"http://127.0.0.1:{receiver.port}/quiet"}
        approvals = {"console_url": "https://approvals.example/", "channels": {"team": hook, "quiet": quiet}}
        plan = Plan(settings={"approvals": approvals})
        async with running(tmp_path, plan, Stage(StillClock(WEDNESDAY_NS), approvals=True)) as world:
            outbox = world.process.approvals.outbox
            ask = world.ask(ALICE, "git_reset", {"repo_path": "/src/secret"}, obligations=OBLIGATIONS)
            (approval_id,) = waiting(await world.decide(ask))
            again = world.ask(ALICE, "git_reset", {"repo_path": "/src/secret"}, obligations=OBLIGATIONS)
            assert waiting(await world.decide(again)) == [approval_id]  # attaches, and is not told again
            assert await outbox.run_once() == 1
            await Approvers(world).vote(CAROL, approval_id)
            assert await outbox.run_once() == 2
            assert await outbox.run_once() == 0
    said = [(got.path, json.loads(got.body)) for got in receiver.got]
    assert (said[0][0], said[0][1]["type"]) == ("/in", "approval.opened")
    assert sorted((path, body["data"]["state"]) for path, body in said) == [
        ("/in", "approved"),
        ("/in", "pending"),
        ("/quiet", "approved"),
    ]
    for got in receiver.got:
        assert b"/src/secret" not in got.body
        at = datetime.fromtimestamp(int(got.headers["webhook-timestamp"]), UTC)
        # the world's clock stands in 2027, beyond what `verify` tolerates
        signature = Webhook(KEY).sign(got.headers["webhook-id"], at, got.body.decode())
        assert got.headers["webhook-signature"] == signature
