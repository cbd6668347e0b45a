"""Bugs planted in the drill: an attack that got through, or whose fate is not known, is never taken for refused."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/doctor/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


DRILL = (
    *_in(
        "drill",
        (
            "drill-carried-out-well",
            'return DrillResult(case, "carried_out" if case.code else "well")',
            'return DrillResult(case, "well")',
            "an attack that is carried out is drift",
        ),
        (
            "drill-undecided-well",
            "    if not decision_id:\n        met",
            "    if False:\n        met",
            "a refusal without a decision proves nothing",
        ),
        (
            "drill-any-code",
            'if result.verdict == "well" and not any(',
            'if result.verdict == "never" and not any(',
            "the reason of a refusal counts",
        ),
        (
            "drill-harmless-refused",
            '    if not case.code:\n        return DrillResult(case, "closed", decision_id)\n',
            "",
            "a gateway that refuses everything is seen",
        ),
        (
            "drill-unexplained-well",
            'return replace(result, verdict="unheard") if result.verdict == "well" else result',
            "return result",
            "a refusal without a reason proves nothing",
        ),
        (
            "drill-own-bearer",
            'token = None if bearer == "none" else self.bearers[bearer]',
            'token = self.bearers[""]',
            "what is tried with another bearer has it",
        ),
    ),
    *_in(
        "attacks", ("drill-path-exists", "{_UP}proc/pdp-drill/none", "{_UP}tmp/pdp-drill", "an attack does no harm")
    ),
)
