"""Every command finds its user's own decision point as `pdp approvals` does, and says that it did."""

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcp.shared.exceptions import MCPError
from support.gate import PDP
from support.own_proxy import SIGN, OwnProxy, tool
from support.profiles import profile
from support.resident import end_residents
from support.warm import warm

from pdp.local import hook

pytestmark = [pytest.mark.starts_server, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]
DENIED = 10  # exit code of `pdp explain`


@pytest.fixture(scope="module")
def pdp() -> Iterator[list[str]]:
    with warm(
        "support.gated", "pdp.cli.proxy_own", "pdp.cli.approvals", env={"PYTHONPATH": str(ROOT / "tests")}
    ) as words:
        yield [*words, PDP[-1]]


class UsualPlace(OwnProxy):
    """At the usual place of a user whose state is below `folder`."""

    @property
    def state(self) -> Path:
        return self.folder / "pdp"

    def types(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """A command without a profile, typed in the project's folder."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PDPCTL_")}
        given = {**clean, "XDG_STATE_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / "config"), **env}
        return subprocess.run(
            [*self.program, *words], cwd=self.project, env=given, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False,
        )  # fmt: skip

    def typed_line(self, line: str) -> subprocess.CompletedProcess[str]:
        """A command line as it was shown to the user, through a shell."""
        first, *words = shlex.split(line)
        name, _, value = first.partition("=")
        assert (name, words[0]) == ("PDPCTL_PROXY_STATE", "pdp")
        return self.types(*words[1:], PDPCTL_PROXY_STATE=value, XDG_STATE_HOME=str(self.folder / "nowhere"))


@pytest.fixture
def own(tmp_path: Path, pdp: list[str]) -> Iterator[UsualPlace]:
    made = UsualPlace(tmp_path, program=pdp)
    made.lists(tool("here"), tool("put", "path"), tool("variables"))
    code, screen = made.pin("r", "a", "n", (SIGN, "y"))
    assert code == 0, screen
    yield made
    end_residents(made.state, signal.SIGKILL)


async def asked(own: OwnProxy, name: str, **arguments: str) -> str:
    """All that the agent is told of a call that is not let through."""
    async with own.client("--patience", "0") as client:
        with pytest.raises(MCPError) as error:
            await client.call_tool(name, arguments)
    return json.dumps([error.value.message, error.value.data])


async def test_a_denied_call_is_explained_by_the_command_that_its_user_is_shown(own: UsualPlace) -> None:
    """And the agent is shown neither."""
    told = await asked(own, "variables")
    (line,) = re.findall(r"variables was denied: .+ Why: (.+)", own.errors.read_text())
    explained = await asyncio.to_thread(own.typed_line, line)
    assert (explained.returncode, explained.stderr) == (DENIED, ""), explained.stderr
    assert "tool.withdrawn" in explained.stdout
    assert "explain" not in told


async def test_a_call_that_waits_is_approved_by_the_command_that_its_user_is_shown(own: UsualPlace) -> None:
    """And the agent is shown neither the command nor the code."""
    told = await asked(own, "put", path=str(own.project / "there"))
    (line,) = re.findall(r"put waits for you: (.+)", own.errors.read_text())
    code = line.split()[-1]
    shown = await asyncio.to_thread(own.typed_line, line.replace(" approve ", " show "))
    assert (shown.returncode, code in shown.stdout) == (0, True), shown.stderr
    assert code not in told
    assert "approve" not in told


async def test_all_commands_find_the_decision_point_of_their_user_alike(own: UsualPlace) -> None:
    """None of them by what lies in the folder where they are typed."""
    await asked(own, "variables")
    for name in (".pdp", "pdp"):
        (own.project / name).mkdir()
        profile(own.project / name, target="unix:/nowhere.sock", caller_token_file="none")
    profile(own.project, target="unix:/nowhere.sock", caller_token_file="none")
    (own.project / "pdp.yaml").write_text("mode: development\n")

    def everything() -> None:
        found = own.types("audit", "search", "--effect", "deny", "--json")
        (decided,) = map(json.loads, found.stdout.splitlines())
        decision = decided["decision_id"]
        commands = {
            ("explain", decision): DENIED,
            ("status",): 0,
            ("reload", "policy"): 0,
            ("approvals", "list"): 0,
            ("grants", "list"): 0,
            ("consent", "list"): 0,
            ("audit", "prove", decision, "--out", str(own.folder / "proof.json")): 0,
            ("switch", "off", "server", "trying_server.py", "--unlisted"): 0,
        }
        for words, code in commands.items():
            done = own.types(*words)
            assert (done.returncode, str(own.state) in done.stderr) == (code, True), (words, done)
        assert own.types("status", PDPCTL_PROXY_STATE=str(own.state)).stderr == ""  # which was named

    await asyncio.to_thread(everything)


async def test_a_profile_that_was_meant_is_never_replaced(own: UsualPlace) -> None:
    named = {"PDPCTL_TARGET": f"unix:{own.folder}/none.sock", "PDPCTL_CALLER_TOKEN_FILE": str(own.listed)}
    for given in (named, {"PDPCTL_TOKEN_FILE": str(own.listed)}, {"PDPCTL_PROFILE": "operator"}):
        done = await asyncio.to_thread(lambda given=given: own.types("switch", "off", "everything", **given))
        assert (done.returncode, str(own.state) in done.stderr) == (2, False), done.stderr


async def test_no_caller_of_agents_is_to_be_had_by_a_command(own: UsualPlace) -> None:
    """What vouches for the user is given to proxies and hooks alone."""

    def handed(name: str) -> tuple[int, bytes]:
        return hook.ask(str(own.state), hook.DESK, name.encode())

    await asyncio.to_thread(own.types, "status")  # which starts what hands them out
    assert (await asyncio.to_thread(handed, "auditor"))[0] == 0
    for name in ("proxy", "hook", "", "nobody", "auditor\n"):
        code, answer = await asyncio.to_thread(handed, name)
        assert (code, b"ey" in answer.split()[0]) == (2, False), answer
