"""What a case's `evidence` says: answers to requirements, for the port where people and the judge come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from support.environment import Requirement

from pdp.core.check import NS
from pdp.core.outcome.evidence import Evidence, Verdict, answer, judged

JUDGE_PROMPTS = {"task-fit": "5e" * 32}  # what the judge's component will establish: prompt name to its digest


@dataclass(slots=True)
class Answers:
    """Answers a case's requirements: each entry of `evidence` once, for the requirement with its code."""

    said: list[Mapping[str, Any]]
    seen: dict[str, Requirement] = field(default_factory=dict)

    def gather(self, call: str, opened: tuple[Requirement, ...], at_ns: int) -> tuple[Evidence, ...]:
        self.seen.update({str(r["code"]): r for r in opened})
        now = [s for s in self.said if s.get("when", "at_once") == "at_once" and s["code"] in self.seen]
        now = [s for s in now if any(r["code"] == s["code"] for r in opened)]
        self.said = [s for s in self.said if s not in now]
        return tuple(evidence(s, self.seen[s["code"]], call, at_ns) for s in now)

    def known(self, call: str, at_ns: int) -> tuple[Evidence, ...]:
        later = [s for s in self.said if s.get("when") == "later" and ("element" in s or s["code"] in self.seen)]
        return tuple(evidence(s, s.get("element") or self.seen[s["code"]], call, at_ns) for s in later)


def evidence(said: Mapping[str, Any], wanted: Requirement, call: str, at_ns: int) -> Evidence:
    """One element: for this requirement (or one that `change` makes of it), this call or another."""
    wanted = {**wanted, **said.get("change", {})}
    call = call if said.get("call", "own") == "own" else "0" * 64
    expires = at_ns + said.get("expires", 600) * NS
    if "verdict" not in said:
        return answer(wanted, call, said["state"], expires)
    found = said["verdict"]
    prompt = JUDGE_PROMPTS["task-fit"] if found.get("prompt", "pinned") == "pinned" else str(found["prompt"])
    confidence = found.get("confidence", 0.9)
    verdict = Verdict(found.get("status", "ok"), found.get("verdict"), confidence, prompt, found.get("model", "m"))
    return judged(wanted, call, verdict, expires)
