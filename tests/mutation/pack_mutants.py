"""Bugs planted in packs and data, which never become active: the load gate refuses them."""

from __future__ import annotations

from mutant import Mutant

ACME = "rego/examples/acme/packs/acme/acme.rego"
ACME_DATA = "rego/examples/acme/data/org.json"
BASELINE = "rego/baseline/baseline.rego"
LIB = "rego/lib"

# An element in the form that a hurried person would write.
DEAD_RULE = """
deny contains {"code": "acme.never", "message": ""} if {
	some t in input.targets
	t.name == "git_push"
	t.risk_level > 9
}
"""
_PEOPLE = '"seats": [{"group_id": "security", "n": 1}], "deny_quorum": 1, "reason_required": false'
HIGH = (
    "} if {\n\tdata.lib.subject.attended\n\tsome t in input.targets\n\tt.risk"  # what only the rule `risk.high` has
)
NESTED = f"""{{
	"kind": "approval", "id": "b", "code": "b", "ttl_seconds": 9, {_PEOPLE},
	"otherwise": {{"kind": "approval", "id": "c", "code": "c", "ttl_seconds": 9, {_PEOPLE}}},
}},
"""
CRITICAL = '{\n\t"kind": "approval",\n\t"id": "risk.critical",'
CRITICAL_STAGE = '"code": "risk.critical",\n\t"control": "MCP06",\n\t"stage": '
META = 'meta := {"servers": [], "owner": "pdp"}'
ALLOWS = """

allow contains {"target": t.key, "code": "base.all"} if some t in input.targets"""
GRANT = "\tgrant.server == input.server.id\n\tsome tool in grant.tools\n}\n\n# METADATA\n# title: Grants"
_ROLES = "\tt.name in tools_of_roles\n"

GATED = (
    Mutant(
        "pack-denies-for-deny",
        BASELINE,
        'deny contains {\n\t"code": "arguments.secret"',
        'denies contains {\n\t"code": "arguments.secret"',
        "only contract rules are public",
    ),
    Mutant(
        "pack-requires-for-require",
        BASELINE,
        f"require contains {CRITICAL}",
        f"requires contains {CRITICAL}",
        "only contract rules are public",
    ),
    Mutant(
        "pack-waiver-on-mb-1",
        BASELINE,
        '"control": "MB-1.2",\n',
        '"control": "MB-1.2",\n\t"waivable": true,\n',
        "waivable never on MB-1",
    ),
    Mutant(
        "pack-nested-otherwise",
        BASELINE,
        f'"min_assurance": "passkey",\n{HIGH}',
        '"min_assurance": "passkey",\n\t"otherwise": ' + NESTED + HIGH,
        "otherwise is one level deep",
    ),
    Mutant(
        "pack-stage-as-text",
        BASELINE,
        f"{CRITICAL_STAGE}2,",
        f'{CRITICAL_STAGE}"2",',
        "elements hold what the contract says",
    ),
    Mutant("pack-stage-zero", BASELINE, f"{CRITICAL_STAGE}2,", f"{CRITICAL_STAGE}0,", "stages begin at 1"),
    Mutant(
        "pack-code-missing",
        BASELINE,
        '\t"code": "risk.medium",\n',
        "",
        "every element has a literal code",
    ),
    Mutant(
        "pack-code-twice",
        BASELINE,
        '"code": "risk.medium"',
        '"code": "risk.high"',
        "codes are unique in a pack",
    ),
    Mutant(
        "pack-path-misspelt",
        BASELINE,
        "input.subject.scopes",
        "input.subject.scope",
        "input paths exist in the schema",
    ),
    Mutant(
        "pack-path-misspelt-in-lib",
        f"{LIB}/session.rego",
        "input.session.observed",
        "input.session.watched",
        "input paths exist in the schema",
    ),
    Mutant(
        "pack-org-path-misspelt",
        BASELINE,
        "max_actors",
        "maximum",
        "data.org paths exist in the schema",
    ),
    Mutant(
        "pack-baseline-allows",
        BASELINE,
        META,
        META + ALLOWS,
        "the baseline grants nothing",
    ),
    Mutant(
        "pack-meta-missing",
        BASELINE,
        META,
        "",
        "every pack has a meta",
    ),
    Mutant(
        "pack-allow-by-arguments",
        ACME,
        _ROLES,
        f"{_ROLES}\tnot input.arguments.value.force\n",
        "allow and hide read nothing that only a call has",
    ),
    Mutant(
        "pack-allow-by-session",
        ACME,
        GRANT,
        f"\tinput.session.known\n{GRANT}",
        "phase rules hold transitively",
    ),
    Mutant(
        "pack-allow-by-asserted",
        ACME,
        _ROLES,
        f'{_ROLES}\tinput.asserted.task == "please"\n',
        "asserted facts never allow",
    ),
    Mutant(
        "pack-asserted-negated",
        ACME,
        "\tnot log_count_within_limit\n",
        '\tnot log_count_within_limit\n\tnot input.asserted.task == "please"\n',
        "asserted facts never under not",
    ),
    Mutant(
        "pack-reads-evidence",
        ACME,
        "\tnot log_count_within_limit\n",
        "\tnot log_count_within_limit\n\tcount(input.evidence) == 0\n",
        "no evidence lifts a deny",
    ),
    Mutant(
        "pack-reads-waivers",
        ACME,
        "\tnot log_count_within_limit\n",
        "\tnot log_count_within_limit\n\tcount(input.waivers) == 0\n",
        "waivers are the composition's",
    ),
    Mutant(
        "pack-reads-another-pack",
        ACME,
        "\tnot business_hours\n",
        "\tnot business_hours\n\tcount(data.packs.baseline.deny) == 0\n",
        "packs read only their own",
    ),
    Mutant(
        "pack-reads-the-clock",
        ACME,
        "input.time.ns < grant.until_ns",
        "time.now_ns() < grant.until_ns",
        "the instant is input.time",
    ),
    Mutant(
        "pack-asks-the-network",
        ACME,
        "\tnot business_hours\n",
        '\tnot business_hours\n\thttp.send({"method": "get", "url": "http://x.example"}).status_code == 200\n',
        "only allow-listed builtins",
    ),
    Mutant(
        "pack-orders-an-argument", ACME, "\tis_number(log_count)\n", "", "arguments are compared only after is_number"
    ),
    Mutant(
        "pack-dead-rule",
        ACME,
        "# METADATA\n# title: On call",
        f"{DEAD_RULE}\n# METADATA\n# title: On call",
        "a rule that never fires never becomes active",
    ),
    Mutant(
        "pack-recursion", ACME, "verified_person if {\n", "verified_person if {\n\tverified_person\n", "no recursion"
    ),
    Mutant(
        "pack-in-another-package",
        ACME,
        "package packs.acme\n",
        "package packs.acme.inner\n",
        "a pack has the package of its folder",
    ),
    Mutant("pack-as-the-composition", ACME, "package packs.acme\n", "package pdp\n", "packs are packs"),
    Mutant(
        "pack-allow-as-object",
        ACME,
        'allow contains {"target": t.key, "code": "acme.temporary"} if {\n\tsome t in input.targets\n',
        'allow[t.key] := {"target": t.key, "code": "acme.temporary"} if {\n\tsome t in input.targets\n',
        "contract rules are sets",
    ),
    Mutant(
        "json-under-packs",
        "rego/examples/acme/packs/acme/data.json",
        None,
        '{"allow": [{"target": "tool:git_push", "code": "x"}]}\n',
        "JSON is never a rule",
    ),
    Mutant(
        "json-beside-org",
        "rego/examples/acme/data/packs.json",
        None,
        '{"acme": {"allow": []}}\n',
        "only data/org.json is mounted",
    ),
    Mutant("org-key-missing", ACME_DATA, '    "max_actors": 2\n', "", "data.org has a closed schema"),
    Mutant(
        "org-key-misspelt",
        ACME_DATA,
        '"destructive": "approvers"',
        '"destruction": "approvers"',
        "data.org has a closed schema",
    ),
    Mutant("org-text-for-a-number", ACME_DATA, '"max": 100', '"max": "100"', "data.org has a closed schema"),
)
