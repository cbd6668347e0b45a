"""`pdp serve` pushes by itself: every record that its clients were answered by, whatever happens to it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from served import ALLOW, make_world, spawned, until
from standardwebhooks.webhooks import Webhook
from test_channels_served import in_a_thread

from pdp.core.bytes.digest import canonical, leaf_hash

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def pushed(receiver: Any) -> dict[int, dict[str, Any]]:
    """Records by index, each as often as it came."""
    found = {}
    for got in tuple(receiver.got):
        Webhook(KEY).verify(got.body, got.headers)
        for each in json.loads(got.body)["data"]["records"]:
            assert leaf_hash(canonical(each["record"])).hex() == each["leaf"]
            assert found.setdefault(each["index"], each["record"]) == each["record"]
    return found


def test_every_record_is_pushed_also_of_a_run_that_is_killed(tmp_path: Path) -> None:
    secret = tmp_path / "hook.key"
    secret.write_text(KEY)
    secret.chmod(0o600)
    with in_a_thread() as receiver:
        hook = {
            "kind": "webhook",
            "url": f"http://127.0.0.1:{receiver.port}/in",
            "secrets": [f"file:{secret}"],
            "allow_internal": True,
        }
        world = make_world(tmp_path / "w", {"audit": {"push": {"siem": hook}}})
        with spawned(world) as server:
            assert server.decide(tool="git_status", arguments={"repo_path": "/srv/secret-name"}).effect == ALLOW
            until(lambda: any(each["kind"] == "decision" for each in pushed(receiver).values()))
            receiver.answers = [b"503 Later"]
            answer = server.decide(tool="git_status", arguments={"repo_path": "/srv/two"})
            server.kill()
        receiver.answers = [b"204 No Content"]
        with spawned(world) as server:
            until(lambda: [each["kind"] for each in pushed(receiver).values()].count("start") == 2)
            found = pushed(receiver)
            assert server.stop() == 0
    assert list(found) == list(range(len(found)))  # in order, the start of the first run included
    assert [each["kind"] for each in found.values()].count("start") == 2
    assert answer.decision_id in {each["id"] for each in found.values()}
    assert b"secret-name" not in b"".join(got.body for got in receiver.got)
