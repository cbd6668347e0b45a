"""A store as the release before left it, with requests in every state: written by that release, used by this one.

The dump `tests/vectors/store_<commit>.sql` and the `.json` beside it (ids and tokens) are made by the release itself:

    git archive b72bf29 | tar -x -C OLD
    PYTHONPATH=OLD:OLD/tests python tests/support/before.py tests/vectors/store_b72bf29

so this file may name only what both releases have. Policy, people, keys and the clock are the same for both; a
request counts for a call only as long as policy wants the very same, hence a pack of its own.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from support.approvers import Approvers, waiting
from support.environment import SeededEntropy, Stage, StillClock
from support.tools import READING, ServerPlan, tool
from support.world import WEDNESDAY_NS, DecideAnswer, Plan, World, create, serving

from devtools.sandbox import ALICE, CAROL, Sandbox
from pdp.core.approvals.grants import GrantTerms
from pdp.people.consents import Agreement
from pdp.policy.bundle import shipped_rego
from pdp.store.sqlite.opening import FILE

VECTORS = Path(__file__).parents[1] / "vectors"
LATER_NS = 60 * 1_000_000_000  # this release begins a minute after the other one ended
KEYS = ("index.key", "resume.key")
TOOLS = ("approved_by_one", "approved_by_two", "confirmed", "consented")

PACK = """# METADATA
# title: Tools that people answer for
package packs.office

# METADATA
# title: Contract data of this pack
meta := {"servers": ["office"], "owner": "tests@acme.example"}

# METADATA
# title: Developers may use everything here
allow contains {"target": t.key, "code": "office.developer"} if {
	some t in input.targets
	"developers" in input.subject.groups
}

# METADATA
# title: One approver, who may let more calls through
require contains {
	"kind": "approval", "id": "office.one", "code": "office.one", "control": "", "stage": 1, "ttl_seconds": 3600,
	"seats": [{"group_id": "approvers", "n": 1}], "deny_quorum": 1, "reason_required": false,
	"grant": {"minutes": 60, "uses": 2},
} if {
	some t in input.targets
	t.name == "approved_by_one"
}

# METADATA
# title: Two approvers
require contains {
	"kind": "approval", "id": "office.two", "code": "office.two", "control": "", "stage": 1, "ttl_seconds": 3600,
	"seats": [{"group_id": "approvers", "n": 2}], "deny_quorum": 1, "reason_required": true,
} if {
	some t in input.targets
	t.name == "approved_by_two"
}

# METADATA
# title: The subject itself
require contains {
	"kind": "confirmation", "id": "office.self", "code": "office.self", "control": "", "stage": 1,
	"ttl_seconds": 3600, "min_assurance": "signed_in",
} if {
	some t in input.targets
	t.name == "confirmed"
}

# METADATA
# title: The subject once and for all
require contains {
	"kind": "consent", "id": "office.consent", "code": "office.consent", "control": "", "stage": 1,
	"ttl_seconds": 3600, "scope": "office", "purpose": "tests",
} if {
	some t in input.targets
	t.name == "consented"
}
"""
REWORDED = PACK.replace('"ttl_seconds": 3600', '"ttl_seconds": 7200, "message": "In other words."')
PACK_TESTS = """package office_test

import data.lib.testing
import data.packs.office

asks(name) := testing.call({
	"policy": {"packs": ["baseline", "office"]},
	"server": {"id": "office"},
	"targets": [testing.tool({"name": name, "key": sprintf("tool:%s", [name]), "server": "office"})],
})

test_developers_are_granted if {
	asked := object.union(asks("confirmed"), {"subject": {"groups": ["developers"]}})
	"office.developer" in testing.codes(office.allow) with input as asked
}

test_each_tool_wants_its_own if {
	testing.codes(office.require) == {"office.one"} with input as asks("approved_by_one")
	testing.codes(office.require) == {"office.two"} with input as asks("approved_by_two")
	testing.codes(office.require) == {"office.self"} with input as asks("confirmed")
	testing.codes(office.require) == {"office.consent"} with input as asks("consented")
}

test_others_want_nothing if {
	office.require == set() with input as asks("read")
}

test_others_are_not_granted if {
	office.allow == set() with input as object.union(asks("confirmed"), {"subject": {"groups": ["guests"]}})
}
"""


def plan(folder: Path) -> Plan:
    """The plan of both; `folder` receives the policy."""
    policy = folder / "policy"
    shutil.copytree(shipped_rego() / "examples" / "acme" / "data", policy / "data")
    (policy / "packs" / "office").mkdir(parents=True)
    (policy / "packs" / "office" / "office.rego").write_text(PACK)
    (policy / "packs" / "office" / "office_test.rego").write_text(PACK_TESTS)
    note = {"note": {"type": "string"}}
    server = ServerPlan("office", [tool(name, note) for name in TOOLS], dict.fromkeys(TOOLS, READING))
    settings = {
        "service": {"index_key": "file:index.key"},
        "approvals": {"resume_keys": ["file:resume.key"]},
        "identity": {"callers": {"gateway": {"dedupes_redemptions": True}}},
    }

    def finish(made: Sandbox, _at_ns: int) -> None:
        for name in KEYS:
            (made.folder / name).write_bytes(SeededEntropy(name).bytes(32).hex().encode())
            (made.folder / name).chmod(0o600)

    return Plan(servers=(server,), policy=policy, settings=settings, finish=finish)


@asynccontextmanager
async def after(
    folder: Path, dump: Path, at_ns: int = WEDNESDAY_NS + LATER_NS, *, pack: str = PACK
) -> AsyncIterator[World]:
    """A world of this release on the store of the other, perhaps with another text of the pack."""
    wanted = plan(folder)
    (folder / "policy/packs/office/office.rego").write_text(pack)
    made = create(folder / "w", wanted, WEDNESDAY_NS)
    text = await asyncio.to_thread(dump.read_text)
    (made.folder / "store").mkdir(mode=0o700, exist_ok=True)
    with closing(sqlite3.connect(made.folder / "store" / FILE)) as db:
        db.executescript(text)
    stage = Stage(StillClock(at_ns), entropy=SeededEntropy("after"), approvals=True)
    async with serving(made, wanted, stage) as world:
        yield world


def ask(world: World, tool_name: str, note: str, token: str = "", call_id: str = "") -> Any:
    """A question about a call, told from others by its note."""
    asked = world.ask(ALICE, tool_name, {"note": note}, server="office")
    asked.request_id, asked.resume_token, asked.call_id = world.fresh(f"{note} {world.now_ns}"), token, call_id
    return asked


async def _pending(world: World, tool_name: str, note: str) -> DecideAnswer:
    answer = await world.decide(ask(world, tool_name, note))
    assert isinstance(answer, DecideAnswer)
    return answer


async def _fill(world: World) -> dict[str, Any]:
    """Every kind of request in every state in which somebody may still touch it."""
    approvers, said = Approvers(world), dict[str, Any]()

    async def opened(tool_name: str, note: str) -> str:
        answer = await _pending(world, tool_name, note)
        said[note] = {"approval": waiting(answer)[0], "token": answer.pending.resume_token, "tool": tool_name}
        return waiting(answer)[0]

    await opened("approved_by_one", "waits")
    await approvers.vote(CAROL, await opened("approved_by_one", "approved"))
    await approvers.vote(CAROL, await opened("approved_by_one", "refused"), "deny")
    await approvers.vote(ALICE, await opened("approved_by_one", "taken back"), "cancel")
    await approvers.vote(CAROL, await opened("approved_by_two", "half"))
    await approvers.vote(CAROL, await opened("approved_by_one", "granted"), grant=GrantTerms(30, 2))
    await approvers.vote(CAROL, await opened("approved_by_one", "redeemed"))
    redeemed = await world.decide(ask(world, "approved_by_one", "redeemed", said["redeemed"]["token"], "the call"))
    assert isinstance(redeemed, DecideAnswer)
    said["redeemed"]["redemption"] = redeemed.redemption_id
    await approvers.vote(ALICE, await opened("confirmed", "confirmed"))
    await opened("confirmed", "to be confirmed")
    consent = await opened("consented", "agreed")
    view = await approvers.look(ALICE, consent)
    given = Agreement("agree", consent, presented=view.presented)
    await approvers.services.consents.grant(await approvers.person(ALICE), given)
    return said


async def _write(out: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = create(folder / "w", wanted := plan(folder), WEDNESDAY_NS)
        stage = Stage(StillClock(WEDNESDAY_NS), entropy=SeededEntropy("before"), approvals=True)
        async with serving(made, wanted, stage) as world:
            said = await _fill(world)
            records = world.process.store.size()
        with closing(sqlite3.connect(made.folder / "store" / FILE)) as db:
            for large in ("artefacts WHERE kind = 'bundle'", "\"values\" WHERE path = 'input'"):  # for replay alone
                db.execute(f"DELETE FROM {large}")
            db.commit()
            lines = [f"PRAGMA {name} = {db.execute(f'PRAGMA {name}').fetchone()[0]};" for name in PRAGMAS]
            out.with_suffix(".sql").write_text("\n".join((*lines, *db.iterdump())) + "\n")
        said = {"records": records, **said}
        out.with_suffix(".json").write_text(json.dumps(said, indent=1) + "\n")


PRAGMAS = ("application_id", "user_version")

if __name__ == "__main__":
    asyncio.run(_write(Path(sys.argv[1])))
