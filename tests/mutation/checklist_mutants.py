"""Bugs planted in the checklist: what would let an item pass that no evidence shows, or a result seem fresh."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/checklist/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


CHECKLIST = (
    *_in(
        "acceptances",
        (
            "statement-for-ever",
            "if at_ns >= min(self.expires_ns, parse_ns(entry.expires)):",
            "if at_ns >= self.expires_ns:",
            "after its date a statement counts no longer",
        ),
        (
            "statement-shows-failures",
            "if finding.status is CheckStatus.UNKNOWN:",
            "if finding.status in _OPEN:",
            "a statement shows nothing that fails",
        ),
        (
            "statement-about-anything",
            "if (each.check, each.finding) == (check, finding.id)), None)",
            "if each.check == check), None)",
            "a statement is about one finding in its words",
        ),
    ),
    *_in(
        "assessment",
        (
            "checklist-unknown-passes",
            "CheckStatus.UNKNOWN: ItemStatus.FAIL,",
            "CheckStatus.UNKNOWN: ItemStatus.PASS,",
            "what is not shown fails",
        ),
        (
            "checklist-best-check",
            "worst = max((finding.status for _, finding in findings), key=_WORST.index)",
            "worst = min((finding.status for _, finding in findings), key=_WORST.index)",
            "an item is as good as its worst check",
        ),
        (
            "checklist-demands-nothing",
            "return self.required and self.status is ItemStatus.FAIL",
            "return self.required and self.status is ItemStatus.ACCEPTED",
            "a demanded item that fails ends with exit code 1",
        ),
        (
            "checklist-never-stale",
            "if kept.digests.get(what) != now.digests[what]",
            "if kept.digests.get(what) is None",
            "a result about another policy is stale",
        ),
    ),
    *_in(
        "access",
        (
            "checklist-half-examined",
            'return all(verdicts.get(way) == "well" for way in needed)',
            'return all(verdicts.get(way, "well") == "well" for way in needed)',
            "a report that lacks a situation shows nothing",
        ),
        (
            "checklist-observers-bind",
            "if caller.observe is not None and caller.observe.until.timestamp() * NS > evidence.at_ns",
            "if caller.observe is not None and caller.observe.until.timestamp() * NS < evidence.at_ns",
            "a pilot that is not over does not bind",
        ),
    ),
    *_in(
        "checks",
        (
            "checklist-waivers-unseen",
            "if current := [each for each in waived if each[1].expires_ns > evidence.at_ns]:",
            "if current := [each for each in waived if each[1].expires_ns <= evidence.at_ns]:",
            "a waived element is told",
        ),
    ),
)
