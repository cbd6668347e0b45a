"""Bugs planted in the checklist: what would let an item pass that no evidence shows, or a result seem fresh; and in
the review of access."""

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
    Mutant(
        "access-erased-unused",
        "pdp/authoring/access_suggestion.py",
        "if usage.unread[each] or usage.used_by(each, groups).allow]",
        "if usage.used_by(each, groups).allow]",
        "what somebody used whose input was erased is not taken away",
    ),
    Mutant(
        "access-shared-data",
        "pdp/authoring/access_suggestion.py",
        "(False,) if reviewed.tenants > 1 else (True, False)",
        "(True, False)",
        "data of several tenants is left alone",
    ),
    Mutant(
        "access-wider",
        "pdp/authoring/access_suggestion.py",
        "and not (self.lost or self.wider or self.gained)",
        "",
        "a suggestion never widens anything",
    ),
    Mutant(
        "access-for-every-tenant",
        "pdp/authoring/access_suggestion.py",
        "\tinput.caller.tenant == TENANT\n",
        "",
        "a tenant's review hides nothing from another",
    ),
    Mutant(
        "review-of-another-tenant",
        "pdp/service/search.py",
        "if tenant == ANY_TENANT or tenant != caller.tenant:",
        "if tenant == ANY_TENANT:",
        "a report of another tenant is not recorded",
    ),
    Mutant(
        "review-of-long-ago",
        "pdp/service/search.py",
        "if at - found.until_ns > REVIEWED_NS:",
        "if False:",
        "what is recorded as reviewed is of lately",
    ),
    Mutant(
        "access-suggested-into-force",
        "pdp/cli/audit_access.py",
        "if folder is not None and _within(folder, configured.policy.folder):",
        "if False:",
        "a suggestion is never written into the policy in force",
    ),
    Mutant(
        "review-without-end",
        "pdp/checklist/access.py",
        "if evidence.at_ns - at_ns > days * _DAY * NS",
        "if not at_ns",
        "a review is stale after a time",
    ),
)
