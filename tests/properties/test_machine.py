"""The virtual machine composes as the interpreter does, whatever packs say.

The exhaustive model (`test_composition`) asks both; here are elements, evidence, waivers and checks of any form.
2,000 documents here; `MACHINE=30000 python -m pytest tests/properties/test_machine.py` asks about that many.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from typing import Any

from policy_under_test import Composition

DOCUMENTS = int(os.environ.get("MACHINE", "2000"))
NOW = 1_000
CALL = "digest"
KEYS = ("tool:t", "tool:u")
PACKS = ("acme", "baseline")
LISTS = ("allow", "hide", "deny", "require", "oblige", "label")
APPROVAL = {
    "kind": "approval",
    "seats": [{"group_id": "g", "n": 1}],
    "deny_quorum": 1,
    "reason_required": False,
}
CONFIRMATION = {"kind": "confirmation", "min_assurance": "signed_in"}
CONSENT = {"kind": "consent", "scope": "s", "purpose": "p"}
# what a member may hold that it should not
JUNK: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    1.0,
    2.5,
    2**53,
    "",
    "x",
    [],
    ["x"],
    {},
    {"x": None},
    [[]],
    "<undefined>",
]


class Drawn:
    """Documents, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def document(self) -> dict[str, Any]:
        """Most of it in order, some of it not."""
        elements = {pack: self.pack(pack) for pack in PACKS}
        asserted = {pack: self.pack(pack) for pack in PACKS} if self.chance(0.2) else None
        required = [r | {"pack": p} for p, pack in elements.items() for r in self.items(pack.get("require"))]
        document = {
            "schema": "pdp.composition/1",
            "phase": "call",
            "time": {"ns": NOW},
            "policy": {"packs": self.one([["acme", "baseline"]] * 30 + [["acme"]])},
            "checks": {name: self.check() for name in ("caller", "subject", "agent", "server", "switch")},
            "call_checks": {name: self.check() for name in ("arguments", "session")},
            "server": {"id": self.one(("s",) * 20 + ("other",))},
            "targets": [self.target() for _ in range(self.one((1,) * 30 + (2, 0)))],
            "call": {"digest": self.one((CALL,) * 20 + ("",))},
            "session": {"task_source": self.one(("caller", "subject_signed", "agent"))},
            "judge": {"prompts": self.one(({"p": "11"}, {"p": "22"}, {}))},
            "evidence": [self.evidence(r) for r in required if self.chance(0.8)],
            "waivers": [self.waiver() for _ in range(self.one((0, 0, 1, 2)))],
            "elements": elements,
            "asserted_elements": asserted,
        }
        if self.chance(0.1):
            self.spoil(document)
        return document

    def pack(self, name: str) -> dict[str, Any]:
        meta: dict[str, Any] = {"servers": ["s"] if name == "acme" else [], "owner": "o"}
        if self.chance(0.2):
            meta["kinds"] = self.one((["tool", "prompt"], ["tool"], [], *JUNK))
        whole = {"meta": meta, **{kind: self.elements(kind) for kind in LISTS}}
        if self.chance(0.9):
            whole["allow"].append({"target": KEYS[0], "code": "granted"})
        if self.chance(0.03):
            whole[self.one(sorted(whole))] = self.one(JUNK)
        if self.chance(0.02):
            del whole[self.one(sorted(whole))]
        return whole

    def elements(self, kind: str) -> list[Any]:
        some = (0,) * 9 + (1,) if kind in ("hide", "deny") else (0, 0, 0, 1, 1, 2)
        made = [self.element(kind) for _ in range(self.one(some))]
        return [self.bent(e) if self.chance(0.02) else e for e in made]

    def element(self, kind: str) -> dict[str, Any]:
        shared = {"code": self.one(("a", "b", "c")), "control": self.one(("", "MB-4.1", "MB-1.1", "MCP06"))}
        if kind in ("allow", "hide"):
            made = shared | {"target": self.one(KEYS)}
            return self.waivable(made) if kind == "hide" else made
        if kind == "deny":
            return self.waivable(shared | {"message": "no"})
        if kind == "oblige":
            return shared | {"kind": self.one(("redact", "notify")), "n": self.one((1,) * 9 + (2,))}
        if kind == "label":
            return shared | {"label": "sensitive"}
        return self.waivable(self.requirement(shared))

    def waivable(self, element: dict[str, Any]) -> dict[str, Any]:
        return element | {"waivable": True} if self.chance(0.6) else element

    def requirement(self, shared: dict[str, Any]) -> dict[str, Any]:
        made = {**shared, "id": self.one(("i", "j", "k")), "stage": self.one((1, 1, 2)), "ttl_seconds": 60}
        if self.chance(0.4):
            made |= {"kind": "judge", "prompt": "p"}
            made |= self.one(
                ({"accepts": ["allow"], "min_confidence": 0.8}, {"weight": "veto"}, {"weight": "advice"})
            )
        else:
            made |= self.one((APPROVAL, CONFIRMATION, CONSENT))
        if "weight" not in made and self.chance(0.5):
            made["otherwise"] = CONFIRMATION | {"id": "o", "code": "o", "ttl_seconds": 60}
        return made

    def evidence(self, required: dict[str, Any]) -> dict[str, Any]:
        wanted = dict(required)
        if isinstance(required.get("otherwise"), dict) and self.chance(0.4):
            wanted = required["otherwise"] | {"pack": required["pack"], "after": required.get("id")}
            wanted |= {"stage": required.get("stage")}
        made = {"for": wanted, "call": self.one((CALL, CALL, CALL, "other")), "kind": required.get("kind")}
        made["expires_ns"] = self.one((NOW + 1, NOW + 1, NOW, 0))
        made["state"] = self.one(("met",) * 6 + ("refused", "failed", "open"))
        if required.get("kind") == "judge":
            made |= {"status": self.one(("ok", "ok", "late")), "confidence": self.one((0.9, 0.8, 0.79, None))}
            made |= {
                "verdict": self.one(("allow", "allow", "deny", "escalate")),
                "prompt_sha256": self.one(("11", "22")),
            }
        return self.bent(made) if self.chance(0.1) else made

    def waiver(self) -> dict[str, Any]:
        made = {"id": self.one(("w", "v")), "code": self.one(("a", "b")), "server": self.one(("s", "other"))}
        made["expires_ns"] = self.one((NOW + 1, NOW))
        return self.bent(made) if self.chance(0.1) else made

    def check(self) -> dict[str, Any]:
        return {"status": self.one(("ok",) * 90 + ("failed",)), "code": self.one(("", "x.y"))}

    def target(self) -> dict[str, Any]:
        return {"key": KEYS[0], "kind": self.one(("tool",) * 20 + ("prompt",)), "server": "s", **self.check()}

    def bent(self, value: dict[str, Any]) -> Any:
        """One member gone or of another form, or all of it."""
        if self.chance(0.1):
            return self.one(JUNK)
        key = self.one(sorted(value))
        if self.chance(0.5):
            return {name: held for name, held in value.items() if name != key}
        return value | {key: self.one(JUNK)}

    def spoil(self, document: dict[str, Any]) -> None:
        key = self.one(sorted(set(document) - {"phase"}))
        if self.chance(0.5):
            document[key] = self.one(JUNK)
        else:
            del document[key]

    def items(self, elements: Any) -> list[dict[str, Any]]:
        return [e for e in elements if isinstance(e, dict)] if isinstance(elements, list) else []

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def one(self, values: Any) -> Any:
        return self.random.choice(values)


def test_the_machine_composes_as_the_interpreter_does() -> None:
    composition, drawn = Composition(), Drawn(1)
    seen: Counter[str] = Counter()
    for _ in range(DOCUMENTS):
        document = json.dumps(drawn.document())
        by_machine, by_interpreter = composition.by_machine(document), composition.by_interpreter(document)
        seen["left to the interpreter"] += not by_machine
        if not by_machine:
            continue
        answer = json.loads(by_machine)
        if by_interpreter == "ERROR":  # a list that is none: no pack has it, and both let nothing pass
            assert answer["effect"] == "deny", document
            continue
        assert by_machine == by_interpreter, document
        seen[answer["effect"]] += 1
        seen.update(reason["code"] for reason in answer["reasons"])
    assert min(seen[effect] for effect in ("allow", "deny", "pending")) >= DOCUMENTS // 50, seen
    assert seen["policy.element"] >= DOCUMENTS // 50, seen
    assert seen["left to the interpreter"] <= DOCUMENTS // 5, seen
