"""Playbooks in an organisation's folder: part of the bundle and its digest, wrong ones keep it from use."""

import re
import shutil
from pathlib import Path

import pytest

from pdp.core.call.mandates import CatalogueTool, MandateStep
from pdp.core.call.playbooks import Playbook, playbook
from pdp.core.call.task import of_task
from pdp.core.errors import BundleFault
from pdp.core.outcome.policy import Bundle
from pdp.host import strict_yaml
from pdp.policy.bundle import read_bundle, shipped_rego
from pdp.policy.playbooks import of_bundle

GOOD = "title: Pay\nagents: [a]\nminutes: 5\nsteps:\n  - {tool: b/pay, calls: 1, arguments: {/to: {stated: email}}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "org"
    shutil.copytree(shipped_rego() / "examples" / "acme", made)
    (made / "packs/acme/playbooks").mkdir(mode=0o755)
    return made


def written(folder: Path, text: str | bytes, name: str = "pay.yaml") -> Bundle:
    path = folder / "packs/acme/playbooks" / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o644)
    return read_bundle(shipped_rego(), folder)


def test_they_are_of_the_bundle_and_of_its_digests(folder: Path) -> None:
    before = read_bundle(shipped_rego(), folder)
    bundle = written(folder, GOOD)
    assert list(of_bundle(bundle)) == ["acme/pay"]
    other = written(folder, GOOD.replace("minutes: 5", "minutes: 6"))
    assert len({each.digest for each in (before, bundle, other)}) == 3
    assert len({each.rules_digest for each in (before, bundle, other)}) == 3  # what a release signs
    assert bundle.modules == before.modules  # no engine sees them
    assert Bundle.from_bytes(bundle.to_bytes()) == bundle
    assert b"playbooks" not in before.to_bytes()


def test_the_playbooks_of_the_page_plan_their_tasks() -> None:
    page = (Path(__file__).parents[3] / "docs/mandates.md").read_text(encoding="utf-8")
    texts = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if block.startswith("title:")]
    refund, commit = (playbook("p/n", strict_yaml.read(text)) for text in texts)
    schema = {"properties": {"notify": {"type": "boolean"}}}

    def planned(which: Playbook, task: str) -> tuple[MandateStep, ...]:
        return which.planned(of_task(task), task, lambda *_: CatalogueTool("aa", schema))

    found, refunded = planned(refund, "Refund order #W2417 of gina@shop.example")
    assert found.arguments["/email"].fixed == ("gina@shop.example",)
    assert refunded.arguments["/notify"].chosen == (True, False)
    assert planned(refund, "Refund it") == ()
    assert [step.tool for step in planned(commit, "Fix the tests")] == ["git_status", "git_add", "git_commit"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (GOOD.replace("calls: 1", "calls: 0"), "pay.yaml"),
        (GOOD + "title: Again\n", "pay.yaml"),
        ("{", "pay.yaml"),
        (b"\xff\xfe", "pay.yaml"),
        (GOOD, "Pay.yaml"),
        (GOOD, "pay.yml"),
    ],
)
def test_a_wrong_one_keeps_the_bundle_from_being_used(folder: Path, text: str | bytes, name: str) -> None:
    with pytest.raises(BundleFault) as caught:
        written(folder, text, name)
    assert caught.value.code in {"bundle.playbook", "bundle.layout"}
