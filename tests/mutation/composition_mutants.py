"""Bugs planted in the gate and the composition (`rego/pdp`)."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"rego/pdp/{file}.rego", old, new, attacks) for name, old, new, attacks in rows)


GATE = _in(
    "gate",
    ("gate-agent-dropped", '"agent", "server"', '"server"', "every gate check must pass"),
    ("gate-switch-dropped", ', "switch"}', "}", "a kill switch denies everything"),
    (
        "gate-check-negated",
        'some k in gate_checks; input.checks[k].status == "ok"',
        'some k in gate_checks; input.checks[k].status != "failed"',
        "checks are tested positively: missing is not ok",
    ),
    (
        "gate-one-check-is-enough",
        "passed_gate_checks == gate_checks\n",
        "count(passed_gate_checks) > 0\n",
        "every gate check must pass",
    ),
    (
        "gate-packs-not-compared",
        "\tloaded_packs == {p | some p in input.policy.packs}\n\tpassed",
        "\tpassed",
        "the loaded packs are those of the bundle",
    ),
    (
        "gate-packs-a-subset",
        "\tloaded_packs == {p | some p in input.policy.packs}\n\tpassed",
        "\tcount({p | some p in input.policy.packs} - loaded_packs) == 0\n\tpassed",
        "a pack that nobody knows of closes the gate",
    ),
    (
        "gate-any-form",
        '\tinput.schema == "pdp.input/1"\n\tloaded',
        "\tloaded",
        "only a question of the known form is answered",
    ),
    ("gate-malformed-ignored", "\tcount(malformed) == 0\n", "", "an element that cannot be weighed closes the gate"),
    (
        "gate-open-by-default",
        "default gate_open := false",
        "default gate_open := true",
        "the gate is shut by default",
    ),
    ("gate-meta-without-owner", "\tis_string(meta.owner)\n", "", "a pack without a proper meta does not count"),
    ("gate-meta-servers-any", "\tis_array(meta.servers)\n", "", "a pack without a proper meta does not count"),
    (
        "gate-rule-not-a-set",
        "\tnot is_set(value)\n",
        "\tis_null(value)\n",
        "a rule that is not a set closes the gate",
    ),
    (
        "gate-hide-without-target",
        '\tnot has_text(element, "target")\n',
        "\tnot is_object(element)\n",
        "a hide that names nothing closes the gate",
    ),
    (
        "gate-oblige-without-kind",
        'some key in {"kind", "code"}',
        'some key in {"code"}',
        "an obligation that cannot be weighed closes the gate",
    ),
)

DECISION = _in(
    "decision",
    ("decision-open-is-allowed", "\tpermitted\n\twanted == settled\n", "\tpermitted\n", "allow wants all settled"),
    ("decision-allow-by-default", 'default effect := "deny"', 'default effect := "allow"', "undefined is deny"),
    ("decision-pending-by-default", 'default effect := "deny"', 'default effect := "pending"', "undefined is deny"),
    ("decision-two-targets", "\tcount(input.targets) == 1\n", "\tcount(input.targets) >= 1\n", "one target per call"),
    ("decision-target-not-visible", "\tinput.targets[0].key in visible\n", "", "only what is visible may be called"),
    ("decision-call-checks-skipped", "\tcall_checks_passed\n", "", "arguments and session must pass"),
    ("decision-vetoes-skipped", "\tcount(vetoes) == 0\n", "", "any deny wins"),
    ("decision-blocked-skipped", "\tcount(blocked) == 0\n", "", "a refused requirement denies"),
    ("decision-any-phase", '\tinput.phase == "call"\n\tgate_open', "\tgate_open", "an unknown phase denies"),
    (
        "decision-stage-order-dropped",
        "{r | some r in open; r.stage == first_stage}",
        "{r | some r in open}",
        "requirements open stage by stage",
    ),
    ("decision-last-stage-first", "min({r.stage", "max({r.stage", "requirements open stage by stage"),
    (
        "decision-no-obligations",
        'imposed := obligations if effect == "allow"',
        'imposed := obligations if effect == "deny"',
        "an allow carries its obligations",
    ),
    ("decision-list-allows", '\t"effect": "deny",\n', '\t"effect": "allow",\n', "a list decides no call"),
    (
        "decision-list-like-call",
        '} if {\n\tinput.phase == "list"\n} else',
        '} if {\n\tinput.phase == "listing"\n} else',
        "lists look at nothing that only a call has",
    ),
)

VISIBILITY = _in(
    "visibility",
    (
        "visible-outside-meta-servers",
        "\tinput.server.id in data.packs[p].meta.servers\n",
        "",
        "a pack grants only on its own servers",
    ),
    ("visible-hide-ignored", "(spoilt | concealed)", "spoilt", "what is hidden is neither seen nor called"),
    ("visible-failed-target", "(spoilt | concealed)", "concealed", "one failed check of a key spoils it"),
    ("visible-hide-intersected", "grantable - (", "grantable & (", "visible = allowed - hidden"),
    ("visible-gate-shut", " if gate_open\n\ngrantable", "\n\ngrantable", "nothing is visible behind a shut gate"),
    ("visible-other-server", "\tt.server == input.server.id\n", "", "targets of the server that was asked"),
    ("visible-all-granted", "grantable := offered & granted", "grantable := offered", "nothing allows: deny"),
    ("visible-code-not-needed", '\thas_text(element, "code")\n', "", "an allow without a code grants nothing"),
    (
        "visible-by-call-checks",
        "grantable - (spoilt | concealed) if gate_open",
        "grantable - (spoilt | concealed) if {\n\tgate_open\n\tcall_checks_passed\n}",
        "what is listed is exactly what may be called",
    ),
    (
        "visible-by-session",
        "grantable := offered & granted",
        "grantable := offered & granted if input.session.known\n\nelse := set()",
        "what is listed is exactly what may be called",
    ),
)

VETOES = _in(
    "vetoes",
    ("veto-session-dropped", '{"arguments", "session"}', '{"arguments"}', "the session must pass its check"),
    ("veto-arguments-dropped", '{"arguments", "session"}', '{"session"}', "the arguments must pass their check"),
    ("veto-check-negated", 'status == "ok"}', 'status != "failed"}', "checks are tested positively"),
    (
        "veto-checks-by-default",
        "default call_checks_passed := false",
        "default call_checks_passed := true",
        "call checks must pass",
    ),
    ("veto-denies-for-deny", "data.packs[p].deny\n", "data.packs[p].denies\n", "any deny wins"),
    ("veto-only-baseline", "data.packs[p].deny\n", "data.packs.baseline.deny\n", "every pack may deny"),
    (
        "veto-conflict-ignored",
        "parameters(one) != parameters(other)",
        "count(parameters(one)) != count(parameters(other))",
        "conflicting obligations deny",
    ),
)

EVIDENCE = _in(
    "evidence",
    ("evidence-by-id-only", "\te.for == r\n", "\te.for.id == r.id\n", "evidence is for the whole requirement"),
    ("evidence-for-anything", "\te.for == r\n", "", "evidence is for the whole requirement"),
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
    ("judge-threshold-as-null", "\tis_number(r.min_confidence)\n", "", "any number is greater than null"),
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
    ("judge-by-evidence-kind", '\tr.kind == "judge"\n', '\te.kind == "judge"\n', "a judge gives no state"),
    (
        "state-best-wins",
        'strongest(found) := "refused" if {\n\t"refused" in found\n}',
        'strongest(found) := "met" if {\n\t"met" in found\n} else := "refused" if {\n\t"refused" in found\n}',
        "the worst that any live answer says counts",
    ),
    (
        "state-unknown-is-met",
        '} else := "failed"\n\n# A judge',
        '} else := "met"\n\n# A judge',
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
    ("require-stage-as-text", "\tis_number(r.stage)\n", "", 'the text "1" is no stage'),
    ("require-stage-zero", "r.stage >= 1", "r.stage >= 0", "stages begin at 1"),
    ("require-ttl-as-text", "\tis_number(r.ttl_seconds)\n", "", "a text is no time to live"),
    ("require-malformed-passes", "\tnot well_formed(r)\n", "\tnot is_object(r)\n", "what cannot be asked for denies"),
    (
        "require-any-kind",
        '\tr.kind in {"judge", "confirmation", "approval", "consent"}\n',
        "",
        "four kinds, no fifth",
    ),
    ("require-only-baseline", "data.packs[p].require\n", "data.packs.baseline.require\n", "every pack may require"),
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
    ("waiver-control-anywhere", '"^(MB-[345]', '"(MB-[345]', "no waiver reaches identity (MB-1)"),
    (
        "waiver-by-default",
        "default waived(_, _) := false",
        "default waived(_, _) := true",
        "nothing is waived unasked",
    ),
    (
        "waiver-use-not-told",
        "data.packs.baseline.deny\n\tsome id",
        "data.packs.baseline.denied\n\tsome id",
        "each use of a waiver is recorded",
    ),
)

COMPOSITION = (*GATE, *DECISION, *VISIBILITY, *VETOES, *EVIDENCE, *REQUIREMENTS, *WAIVERS)
