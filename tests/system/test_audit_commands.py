"""`pdp audit search` and `pdp audit erase` at a running server, with the tokens that each takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from served import ISSUER, Served, ask, make_world, served
from support import dictionary

from pdp.cli.main import cli
from pdp.runtime.environment import SYSTEM, index_key_of

MARA, NORA = "mara.7731@corp.example", "nora.5510@corp.example"


@dataclass(frozen=True, slots=True)
class Lived:
    """A server that was used by some people, and its readers."""

    server: Served
    folder: Path
    auditor: tuple[str, ...]
    operator: tuple[str, ...]

    def pdp(self, *words: str, as_operator: bool = False) -> Result:
        return CliRunner().invoke(cli, ["audit", *words, *(self.operator if as_operator else self.auditor)])

    def search(self, *words: str) -> list[dict[str, Any]]:
        done = self.pdp("search", *words, "--records", "--limit", "500")
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    folder = tmp_path_factory.mktemp("a")
    world = make_world(folder / "w")
    with served(world) as server:
        for n in range(6):
            server.decide(ask(bearer=server.alice(), arguments={"repo_path": f"/srv/{n}"}))
        for n in range(4):
            tool = "git_reset" if n == 3 else "git_log"
            for who in (MARA, NORA):
                server.decide(ask(tool, {"repo_path": f"/home/{who}/{n}"}, bearer=server.alice(sub=who)))
        options = []
        for name in ("auditor", "operator"):
            (folder / name).write_text(world.caller_token(name, server.now()))
            options.append(("--target", server.process.server.addresses[0], "--token-file", str(folder / name)))
        yield Lived(server, world.folder / "store", options[0], options[1])


def test_one_finds_decisions_by_what_they_are_about(lived: Lived) -> None:
    of_mara = lived.search("--subject", MARA, "--kind", "decision")
    assert len(of_mara) == 4
    assert MARA not in json.dumps(of_mara)
    assert len({each["subject"]["id"] for each in of_mara}) == 1
    (reset,) = lived.search("--subject", MARA, "--tool", "git_reset", "--kind", "decision")
    assert reset["target"]["name"] == "git_reset"
    assert len(lived.search("--tool", "git_status", "--server", "git", "--effect", "allow", "--since", "1h")) == 6
    assert lived.search("--tool", "git_status", "--until", "2020-01-01") == []
    assert {r["kind"] for r in lived.search("--kind", "policy", "--kind", "registry")} == {"policy", "registry"}
    assert lived.search("--subject", f"{ISSUER} {MARA}", "--kind", "decision") == of_mara
    shown = lived.pdp("search", "--subject", MARA, "--limit", "2")
    assert len(shown.stdout.splitlines()) == 2
    assert "more than 2 records match" in shown.stderr
    assert lived.pdp("search", "--effect", "maybe").exit_code == 2
    refused = lived.pdp("search", "--session", "s")
    assert (refused.exit_code, "session" in refused.stderr) == (1, True)
    assert lived.pdp("search", as_operator=True).exit_code == 1  # an operator is no auditor


def test_what_was_erased_is_gone_and_the_records_stay(lived: Lived) -> None:
    log, theirs = lived.search("--kind", "decision"), lived.search("--subject", NORA, "--kind", "decision")
    names = dictionary.candidates(NORA)
    key = index_key_of(lived.server.process.settings, SYSTEM.entropy)

    def found() -> set[str]:
        data = b"".join(path.read_bytes() for path in lived.folder.rglob("*") if path.is_file())
        return dictionary.found(data, names, ISSUER, key, "acme")

    assert found() == {NORA}
    assert lived.pdp("erase", NORA, "--reason", "ticket 7", "--yes").exit_code == 1  # an auditor is no operator
    assert lived.pdp("erase", NORA, "--reason", f"{NORA} asked", "--yes", as_operator=True).exit_code == 1
    aborted = CliRunner().invoke(cli, ["audit", "erase", NORA, "--reason", "ticket 7", *lived.operator], input="n\n")
    assert (aborted.exit_code, found()) == (1, {NORA})
    done = lived.pdp("erase", NORA, "--reason", "ticket 7", "--yes", as_operator=True)
    assert (done.exit_code, done.stdout.startswith("erased: ")) == (0, True), done.output
    assert found() == set()
    assert lived.search("--kind", "decision") == log  # records are as they were
    assert lived.search("--subject", NORA) == []
    (erasure,) = lived.search("--kind", "erasure")
    pseudonym = theirs[0]["subject"]["id"]
    assert erasure["people"]["items"] == [pseudonym]
    assert lived.search("--subject", pseudonym, "--kind", "decision") == theirs
    again = lived.pdp("erase", NORA, "--reason", "ticket 7", "--yes", as_operator=True)
    assert (again.exit_code, again.stdout.strip()) == (0, "nothing was kept of that person")
