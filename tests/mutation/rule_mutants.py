"""Bugs planted in rules and shared notions, which the tests beside them catch."""

from __future__ import annotations

from mutant import Mutant
from pack_mutants import ACME, BASELINE, GRANT, LIB

TESTED = (
    Mutant("depth-flipped", BASELINE, "> data.org", "< data.org", "short chains of delegation"),
    Mutant(
        "depth-inclusive",
        BASELINE,
        "> data.org",
        ">= data.org",
        "short chains of delegation",
    ),
    Mutant(
        "scope-negated",
        BASELINE,
        "not permission in",
        "permission in",
        "every permission is a scope",
    ),
    Mutant(
        "critical-flipped",
        BASELINE,
        "t.risk_level >= 4",
        "t.risk_level <= 4",
        "two people for a critical tool",
    ),
    Mutant("critical-one-person", BASELINE, '"n": 2', '"n": 1', "two people for a critical tool"),
    Mutant("high-by-anyone", BASELINE, '"passkey"', '"signed_in"', "a passkey for high risk"),
    Mutant(
        "destructive-high-passes",
        BASELINE,
        "\tt.risk_level < 4\n",
        "\tt.risk_level < 3\n",
        "destruction is approved at every risk",
    ),
    Mutant(
        "bearer-token-passes",
        BASELINE,
        '{"secret", "bearer_token"}',
        '{"secret"}',
        "no secrets in arguments",
    ),
    Mutant(
        "open-schema-passes",
        BASELINE,
        "t.schema_open == true",
        "t.schema_open == false",
        "closed schemas for what changes something",
    ),
    Mutant(
        "unattended-passes",
        BASELINE,
        "not data.lib.subject.attended",
        "data.lib.subject.attended",
        "somebody approves what an unattended agent does",
    ),
    Mutant(
        "taint-forgotten",
        BASELINE,
        "\tdata.lib.session.tainted\n",
        "\tnot data.lib.session.tainted\n",
        "what leaves a tainted session is confirmed",
    ),
    Mutant(
        "org-complete-by-default",
        f"{LIB}/org.rego",
        "default complete := false",
        "default complete := true",
        "a missing data.org key denies",
    ),
    Mutant(
        "org-key-not-needed",
        f"{LIB}/org.rego",
        "\tis_number(org.delegation.max_actors)\n",
        "",
        "a missing data.org key denies",
    ),
    Mutant(
        "session-clean-by-default",
        f"{LIB}/session.rego",
        "default tainted := true",
        "default tainted := false",
        "unknown sessions count as tainted",
    ),
    Mutant(
        "unknown-session-clean-rule",
        f"{LIB}/session.rego",
        "\tinput.session.observed == true\n",
        "",
        "unobserved sessions count as tainted",
    ),
    Mutant(
        "attended-by-default",
        f"{LIB}/subject.rego",
        "default attended := false",
        "default attended := true",
        "nobody is attended unless a person",
    ),
    Mutant(
        "destructive-needs-both",
        f"{LIB}/targets.rego",
        "\tt.annotations.read_only == false\n\tt.annotations.destructive == true\n",
        "\tt.annotations.destructive == true\n",
        "MCP's meaning of destructive",
    ),
    Mutant(
        "grant-flipped",
        ACME,
        "input.time.ns < grant.until_ns",
        "input.time.ns > grant.until_ns",
        "grants end by themselves",
    ),
    Mutant("limit-flipped", ACME, "log_count <= limit.max", "log_count >= limit.max", "an argument's limit"),
    Mutant(
        "role-on-any-server",
        ACME,
        GRANT,
        GRANT.partition("\n")[2],
        "a role grants on its server",
    ),
    Mutant("hours-flipped", ACME, "\tnot business_hours\n", "\tbusiness_hours\n", "on call approves out of hours"),
)
