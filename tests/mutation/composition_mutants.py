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
        '\tloaded_packs == {p | some p in input.policy.packs}\n\t"baseline',
        '\t"baseline',
        "the loaded packs are those of the bundle",
    ),
    (
        "gate-packs-a-subset",
        '\tloaded_packs == {p | some p in input.policy.packs}\n\t"baseline',
        '\tcount({p | some p in input.policy.packs} - loaded_packs) == 0\n\t"baseline',
        "a pack that nobody knows of closes the gate",
    ),
    (
        "gate-any-form",
        '\tinput.schema == "pdp.composition/1"\n',
        "",
        "only a question of the known form is answered",
    ),
    (
        "gate-without-the-baseline",
        '\t"baseline" in loaded_packs\n',
        "",
        "a policy without the baseline closes the gate",
    ),
    ("gate-evidence-of-any-form", "\tis_array(input.evidence)\n", "", "evidence that is no list closes the gate"),
    ("gate-waivers-of-any-form", "\tis_array(input.waivers)\n", "", "waivers that are no list close the gate"),
    (
        "gate-asserted-elements-of-any-form",
        "some elements in [input.elements, input.asserted_elements]",
        "some elements in [input.elements]",
        "elements on what was asserted are held to the same form",
    ),
    ("gate-kinds-of-any-form", "\tis_array(kinds_of(meta))\n", "", "kinds that are no list close the gate"),
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
        "\tnot has_list(pack, name)\n",
        "\tis_null(pack[name])\n",
        "a rule that is not a set closes the gate",
    ),
)

SCHEMA = _in(
    "schema",
    ("schema-of-nothing", "default conforms(_, _) := false", "default conforms(_, _) := true", "what has no schema"),
    ("schema-open", "\tcount(object.keys(e) - fields) == 0\n", "", "another field breaks the schema"),
    (
        "schema-hide-without-target",
        '\tonly(e, {"target", "code", "message", "control", "waivable"})\n\thas_text(e, "target")\n',
        '\tonly(e, {"target", "code", "message", "control", "waivable"})\n',
        "a hide that names nothing",
    ),
    ("schema-oblige-without-kind", '\thas_text(e, "kind")\n', "", "an obligation is of a kind"),
    ("schema-oblige-names-its-pack", '\tnot has_key(e, "pack")\n', "", "the composition adds the pack"),
    ("schema-without-code", '\thas_text(e, "code")\n', "", "every element has a code"),
    ("schema-waivable-as-text", '\tobject.get(e, "waivable", true) == true\n', "", "waivable is true or not there"),
    ("schema-no-stage", "\tcounts(e.stage)\n", "", "stages begin at 1"),
    ("schema-no-time-to-live", "\tcounts(e.ttl_seconds)\n", "", "a requirement lives for some seconds"),
    ("schema-no-id", '\thas_text(e, "id")\n', "", "a requirement has an id"),
    ("schema-no-seat", "\tcount(seats) > 0\n", "", "nobody's approval is none"),
    (
        "schema-seats-of-any-form",
        "\tcount([seat | some seat in seats; not is_seat(seat)]) == 0\n",
        "",
        "each seat is one",
    ),
    ("schema-seat-for-nobody", "\tcounts(seat.n)\n", "", "a seat is for one person at least"),
    ("schema-no-bar", "\te.min_confidence > 0\n", "", "a verdict of no confidence unlocks nothing"),
    ("schema-bar-above-all", "\te.min_confidence <= 1\n", "", "a share is at most 1"),
    ("schema-any-verdict", '\te.accepts == ["allow"]\n', "", "nothing but an allow unlocks"),
    ("schema-any-weight", '\te.weight in {"advice", "veto"}\n', "", "two weights, no third"),
    (
        "schema-any-assurance",
        '\te.min_assurance in {"client_asserted", "signed_in", "passkey"}\n',
        "",
        "three assurances",
    ),
    ("schema-heard-and-replaced", '\tnot has_key(e, "weight")\n', "", "who is only heard is not replaced"),
    ("schema-heard-in-place", '\tnot has_key(other, "weight")\n', "", "who takes a place answers"),
    (
        "schema-boundless-grant",
        "\t[bounds.minutes, bounds.uses, bounds.session] != [0, 0, false]\n",
        "",
        "a grant ends",
    ),
    ("schema-plain-and-more", "\tcount(e) == 2\n", "", "what is plain has no other field"),
    ("schema-plain-without-target", '\te.target != ""\n', "", "what is plain names a target"),
    ("schema-plain-without-code", '\te.code != ""\n', "", "what is plain has a code"),
    ("schema-plain-forbids", '\trule in {"allow", "hide"}\n', "", "a denial says more than a grant"),
    ("schema-fraction", "\tn == round(n)\n", "", "people are whole"),
    ("schema-zero", "\tn != 0\n", "", "a count begins at 1"),
)

ASSERTED = _in(
    "elements",
    ("asserted-grants", "both(without.allow", "either(without.allow", "what a caller says grants nothing"),
    ("asserted-lifts-hide", "either(without.hide", "both(without.hide", "what a caller says only tightens"),
    ("asserted-lifts-deny", "either(without.deny", "both(without.deny", "what a caller says only tightens"),
    ("asserted-lifts-require", "either(without.require", "both(without.require", "what a caller says only tightens"),
    ("asserted-lifts-oblige", "either(without.oblige", "both(without.oblige", "what a caller says only tightens"),
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
    (
        "decision-any-phase",
        '\tinput.phase in {"call", "result"}\n\tgate_open',
        "\tgate_open",
        "an unknown phase denies",
    ),
    (
        "decision-stage-order-dropped",
        "{r | some r in heard_first; r.stage == first_stage}",
        "{r | some r in heard_first}",
        "requirements open stage by stage",
    ),
    (
        "decision-people-beside-the-judge",
        "\tcount(judges) > 0\n",
        "\tcount(judges) > 5\n",
        "nobody is asked about a call that a judge may still refuse",
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
        "\tinput.server.id in meta.servers\n",
        "\tis_array(meta.servers)\n",
        "a pack grants only on its own servers",
    ),
    (
        "visible-any-kind",
        "; t.kind in kinds_of(meta)}",
        "}",
        "a pack grants only targets of its kinds",
    ),
    (
        "visible-every-kind-unless-said",
        '"kinds", ["tool"])',
        '"kinds", ["tool", "prompt", "resource"])',
        "a pack that names no kind grants tools only",
    ),
    (
        "visible-reach-ignored",
        "\telement.target in grantable_here\n",
        "",
        "a pack grants only within its reach",
    ),
    ("visible-hide-ignored", "((spoilt | concealed)", "(spoilt", "what is hidden is neither seen nor called"),
    ("visible-failed-target", "((spoilt | concealed)", "(concealed", "one failed check of a key spoils it"),
    ("visible-hide-intersected", "grantable - ((", "grantable & ((", "visible = allowed - hidden"),
    ("visible-gate-shut", " if gate_open\n\ngrantable", "\n\ngrantable", "nothing is visible behind a shut gate"),
    ("visible-other-server", "\tt.server == input.server.id\n", "", "targets of the server that was asked"),
    ("visible-all-granted", "grantable := offered & granted", "grantable := offered", "nothing allows: deny"),
    ("visible-code-not-needed", '\thas_text(element, "code")\n', "", "an allow without a code grants nothing"),
    (
        "visible-by-call-checks",
        "grantable - ((spoilt | concealed) | barred) if gate_open",
        "grantable - ((spoilt | concealed) | barred) if {\n\tgate_open\n\tcall_checks_passed\n}",
        "what is listed is exactly what may be called",
    ),
    ("visible-denied", "((spoilt | concealed) | barred)", "(spoilt | concealed)", "no list shows what is denied"),
    (
        "visible-denial-waived",
        "pack.deny\n\tnot waived(p, element)\n\tsome key in denied_by(element)\n}\n\ndenied",
        "pack.deny\n\tsome key in denied_by(element)\n}\n\ndenied",
        "waivers apply to lists",
    ),
    ("visible-denial-of-none", "else := requested", "else := set()", "a denial of no target is one of all"),
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
    ("veto-denies-for-deny", "pack.deny\n", "pack.denies\n", "any deny wins"),
    ("veto-only-baseline", "pack.deny\n", "data.packs.baseline.deny\n", "every pack may deny"),
    (
        "veto-conflict-ignored",
        "parameters(one) != parameters(other)",
        "count(parameters(one)) != count(parameters(other))",
        "conflicting obligations deny",
    ),
)

COMPOSITION = (
    *GATE,
    *SCHEMA,
    *ASSERTED,
    *DECISION,
    *VISIBILITY,
    *VETOES,
)
