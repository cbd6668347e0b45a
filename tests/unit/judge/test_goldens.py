"""What the judge is sent for twenty-one matters with the shipped prompts, word by word.

After a deliberate change of a prompt or of the renderer run it with `PDP_WRITE_VECTORS=1`, and read the difference as
a reviewer of a prompt would.
"""

import os
from pathlib import Path
from typing import Any

from support.for_each import for_each
from support.judge import NONCE, blocks

from pdp.core.call.facts import Annotations
from pdp.core.judge.judge_input import EarlierCall, JudgeInput, Rendered, Traits
from pdp.core.judge.render import render
from pdp.host import strict_yaml
from pdp.judge.prompts import read_prompts, shipped_prompts

VECTORS = Path(__file__).parents[2] / "vectors" / "judge"
WRITTEN = strict_yaml.read((VECTORS / "matters.yaml").read_bytes())
CASES: dict[str, Any] = WRITTEN["cases"]
PROMPTS = read_prompts(shipped_prompts(), None).prompts


def made(name: str) -> Rendered:
    fields: dict[str, Any] = WRITTEN["defaults"] | CASES[name]
    if (lines := fields.pop("observation_lines", None)) is not None:
        fields["observation"] = "\n".join(lines["line"].format(i) for i in range(lines["count"]))
    if (long := fields.pop("long", None)) is not None:
        fields["arguments"] = fields["arguments"] | {long["argument"]: long["word"] * long["count"]}
    fields["labels"] = tuple(fields["labels"])
    fields["traits"] = traits(fields["traits"])
    fields["earlier"] = tuple(
        EarlierCall(c["server"], c["target"], tuple(c.get("labels", ())), tuple(c.get("values", ())))
        for c in fields.get("earlier", ())
    )
    fields["origins"] = tuple(fields.get("origins", {}).items())
    assert PROMPTS is not None
    return render(PROMPTS, "task-fit", JudgeInput(**fields), NONCE)


def traits(said: dict[str, Any] | None) -> Traits:
    if said is None:
        return Traits()
    return Traits(said["risk"], tuple(said["permissions"]), tuple(said["sinks"]), Annotations(**said["annotations"]))


def text(found: Rendered) -> str:
    head = [f"rules: {', '.join(found.rules)}", f"cut: {', '.join(found.cut) or 'nothing'}"]
    return "\n".join([*head, "", "##### system", found.system, "", "##### user", found.user, ""])


@for_each("name", CASES)
def test_golden(name: str) -> None:
    seen, golden = text(made(name)), VECTORS / f"{name}.txt"
    if os.environ.get("PDP_WRITE_VECTORS"):
        golden.write_text(seen, encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == seen


def test_there_are_as_many_and_each_golden_has_its_case() -> None:
    assert len(CASES) == 21
    assert {path.stem for path in VECTORS.glob("*.txt")} == set(CASES)


@for_each("name", CASES)
def test_each_can_be_told_apart_by_the_nonce_alone(name: str) -> None:
    assert "arguments" in blocks(made(name).user)


def test_an_address_looked_up_for_whom_the_task_names_is_no_strangers() -> None:
    """The prompt allows it, no rule says otherwise, and the history tells such an address from any other."""
    found = made("looked-up-address")
    [allowed] = [line for line in found.system.splitlines() if line.startswith("- Giving the access")]
    [rule] = [line for line in found.system.splitlines() if line.startswith("- `access.grantee`")]
    assert "to whom it names or to the address looked up for them" in allowed
    assert "or an address that neither the task nor a look-up gives" in rule
    assert '{"first_returned":["/with"],"server":"office","target":"tool:find_person"}' in found.user
    assert '"own":["/with"]' in found.user


def test_the_cases_show_what_they_are_for() -> None:
    assert made("long-observation").cut == ("observation",)
    assert made("long-arguments").cut == ("arguments",)
    assert "⟨the marker, written by the data⟩ end" in made("forged-end").user
    assert "inv⟨U+202E⟩gpj.exe" in made("hidden-characters").user
    assert "task (stated by the agent itself, proven by nobody)" in made("agents-own-task").user
    assert "execution.hidden" in made("unreviewed-tool").rules
