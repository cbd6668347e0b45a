"""Bugs planted in evidence, requirements and waivers (`rego/pdp`)."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"rego/pdp/{file}.rego", old, new, attacks) for name, old, new, attacks in rows)


EVIDENCE = _in(
    "evidence",
    ("evidence-by-id-only", "e.for == r}", "e.for.id == r.id}", "what settles is for the whole requirement"),
    (
        "evidence-for-anything",
        "some e in live; e.for == r}",
        "some e in live}",
        "what settles is for the whole requirement",
    ),
    (
        "refusal-of-the-whole-only",
        "\te.for.pack == r.pack\n\te.for.id == r.id\n",
        "\te.for == r\n",
        "no other words reopen what was refused",
    ),
    ("refusal-of-any-pack", "\te.for.pack == r.pack\n", "", "a refusal is of one pack's requirement"),
    ("refusal-of-any-requirement", "\te.for.id == r.id\n", "", "a refusal is of one requirement"),
    ("refusal-by-advice", '\tnot r.weight == "advice"\n', "", "an adviser settles nothing"),
    ("evidence-for-another-call", "\te.call == input.call.digest\n", "", "evidence is for one call"),
    ("evidence-without-digest", '\tinput.call.digest != ""\n', "", "a call without a digest is answered by nothing"),
    ("evidence-expired", "\te.expires_ns > input.time.ns\n", "", "evidence expires"),
    ("evidence-expiry-flipped", "e.expires_ns > input.time.ns", "e.expires_ns < input.time.ns", "evidence expires"),
    (
        "evidence-expiry-inclusive",
        "e.expires_ns > input.time.ns",
        "e.expires_ns >= input.time.ns",
        "evidence expires",
    ),
    ("evidence-expiry-as-text", "\tis_number(e.expires_ns)\n", "", "a text is greater than any number"),
    ("judge-status-ignored", '\te.status == "ok"\n', "", "a judge in error settles nothing"),
    ("judge-status-negated", 'e.status == "ok"', 'e.status != "error"', "a judge in error settles nothing"),
    (
        "judge-another-prompt",
        "\te.prompt_sha256 == input.judge.prompts[r.prompt]\n",
        "",
        "a verdict by another prompt settles nothing",
    ),
    ("judge-empty-prompt", '\te.prompt_sha256 != ""\n', "", "no prompt is no pinned prompt"),
    ("judge-confidence-as-text", "\tis_number(e.confidence)\n", "", "a text is greater than any number"),
    (
        "judge-confidence-flipped",
        "e.confidence >= r.min_confidence",
        "e.confidence <= r.min_confidence",
        "a verdict needs its confidence",
    ),
    ("judge-any-verdict", "\te.verdict in r.accepts\n", "", "policy says which verdicts it accepts"),
    (
        "judge-on-the-agents-word",
        '{"subject_signed", "caller"}',
        '{"subject_signed", "caller", "agent"}',
        "a judge unlocks nothing on the agent's own statement",
    ),
    ("judge-deny-ignored", 'e.verdict == "deny"', 'e.verdict == "denied"', "a judge's deny is a refusal"),
    (
        "judge-without-weight-is-heard",
        '\tr.weight in {"advice", "veto"}\n',
        "",
        "what a judge may unlock wants a verdict",
    ),
    ("judge-by-evidence-kind", '\tr.kind == "judge"\n', '\te.kind == "judge"\n', "a judge gives no state"),
    (
        "state-best-wins",
        'strongest(found) := "refused" if {\n\t"refused" in found\n}',
        'strongest(found) := "met" if {\n\t"met" in found\n} else := "refused" if {\n\t"refused" in found\n}',
        "the worst that any live answer says counts",
    ),
    (
        "state-unknown-is-met",
        '} else := "failed"\n\n# METADATA\n# title: What a verdict',
        '} else := "met"\n\n# METADATA\n# title: What a verdict',
        "an answer in no known state is failed",
    ),
    (
        "state-silence-is-met",
        '"met" in found\n} else := "open"',
        '"met" in found\n} else := "met"',
        "what nobody answered is open",
    ),
)

REQUIREMENTS = _in(
    "requirements",
    (
        "require-open-is-settled",
        'settled contains r if {\n\tsome r in wanted\n\tstate(r) == "met"',
        'settled contains r if {\n\tsome r in wanted\n\tstate(r) in {"met", "open"}',
        "allow only if every requirement is settled",
    ),
    (
        "require-refused-ignored",
        'state(r) == "refused"\n',
        'state(r) == "denied"\n',
        "a refused requirement denies",
    ),
    (
        "require-failed-ignored",
        'some r in first\n\tnot has_substitute(r)\n\tstate(r) == "failed"\n',
        'some r in first\n\tnot has_substitute(r)\n\tstate(r) == "denied"\n',
        "a requirement that failed without substitute denies",
    ),
    (
        "require-substitute-fails-quietly",
        'some r in second\n\tstate(r) == "failed"\n',
        'some r in second\n\tstate(r) == "denied"\n',
        "a failed substitute denies",
    ),
    (
        "require-substitute-not-wanted",
        "wanted := first | second",
        "wanted := first",
        "what takes a failed requirement's place is itself wanted",
    ),
    (
        "require-nested-otherwise",
        'some r in second\n\tstate(r) == "failed"\n',
        'some r in second\n\tnot has_substitute(r)\n\tstate(r) == "failed"\n',
        "a substitute has no substitute",
    ),
    ("require-substitute-stage", ', "stage": r.stage})', "})", "a substitute stands at its requirement's stage"),
    ("require-substitute-pack", '{"pack": r.pack, "after"', '{"after"', "evidence is bound to the pack"),
    ("require-only-baseline", "pack.require\n", "data.packs.baseline.require\n", "every pack may require"),
)

WAIVERS = _in(
    "waivers",
    ("waiver-of-any-pack", '\tp == "baseline"\n', "", "an organisation's own elements are not waived"),
    ("waiver-expired", "\tw.expires_ns > input.time.ns\n", "", "a waiver ends on its date"),
    (
        "waiver-expiry-flipped",
        "w.expires_ns > input.time.ns",
        "w.expires_ns < input.time.ns",
        "a waiver ends on its date",
    ),
    ("waiver-expiry-as-text", "\tis_number(w.expires_ns)\n", "", "a text is greater than any number"),
    ("waiver-any-server", "\tw.server == input.server.id\n", "", "a waiver is for one server"),
    ("waiver-any-code", "\tw.code == element.code\n", "", "a waiver is for one code"),
    ("waiver-of-anything", "\telement.waivable == true\n", "", "only waivable elements are waived"),
    (
        "waiver-not-refused",
        "element.waivable == true",
        "element.waivable != false",
        "only waivable elements are waived",
    ),
    ("waiver-of-mb-1", "MB-[345]", "MB-[1345]", "no waiver reaches identity (MB-1)"),
    ("waiver-of-mb-2", "MB-[345]", "MB-[2345]", "no waiver reaches isolation (MB-2)"),
    ("waiver-control-anywhere", "`^(MB-[345]", "`(MB-[345]", "no waiver reaches identity (MB-1)"),
    (
        "waiver-by-default",
        "default waived(_, _) := false",
        "default waived(_, _) := true",
        "nothing is waived unasked",
    ),
    (
        "waiver-use-not-told",
        "packs.baseline.deny\n\tsome id",
        "packs.baseline.denied\n\tsome id",
        "each use of a waiver is recorded",
    ),
)

WANTED = (
    *EVIDENCE,
    *REQUIREMENTS,
    *WAIVERS,
)
