"""Checks of oversight: secrets, records, who watches, and the people who decide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from pdp.core.call.request import Role
from pdp.core.check import NS
from pdp.people.console.options import ConsoleOptions
from pdp.people.console.wording import counted
from pdp.registry.manifest import render
from pdp.tools.checklist.checks import (
    CheckFinding,
    Found,
    check,
    failed,
    named,
    no_policy,
    not_applicable,
    passed,
    unknown,
    unless,
)
from pdp.tools.checklist.evidence import SystemEvidence

_SWEPT = ("/tmp/", "/dev/shm/", "/var/tmp/")  # noqa: S108 - looked for
_DAY_NS = 86_400 * NS
# what an alarm has to look at: the store, decisions, what comes for the first time, the signed log
_WATCHED = ("pdp_store_healthy", "pdp_decisions_total", "pdp_targets_new_total", "pdp_log_age_seconds")
_FAULTS = ("config.secret", "vault.")
_SECRET = re.compile(r"(file|vault):.")


@check("secrets.found")
def secrets_found(evidence: SystemEvidence) -> CheckFinding:
    """The configuration takes no secret itself."""
    bad = [f"{'.'.join(path)} ({code})" for path, code in evidence.problems if code.startswith(_FAULTS)]
    mend = "`pdp config check` says of each what to write"
    found = len(list(_secrets(evidence.settings)))
    if not found and not bad:
        return not_applicable("the configuration names no secret", "secrets")
    return unless(bad, "secrets cannot be used", mend, f"{counted(found, 'reference')}, all found", "secrets")


@check("secrets.vault")
def secrets_vault(evidence: SystemEvidence) -> CheckFinding:
    """A file may be written by a vault's agent; that does not show."""
    references = dict(_secrets(evidence.settings))
    files = [name for name, text in references.items() if text.startswith("file:") and not name.startswith("vault.")]
    if not references:
        return not_applicable("the configuration names no secret", "secrets")
    if files:
        mend = "name them vault:PATH#KEY (docs/secrets.md), or sign a statement"
        return unknown(f"whether a vault writes these files: {named(files)}", mend, "secrets")
    return passed(f"{counted(len(references), 'secret')} looked up in Vault", "vault")


def _secrets(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Settings that refer to a secret, with the reference."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        held: Mapping[str, object] = {key: getattr(value, key) for key in fields}
    elif isinstance(value, Mapping):
        held = {str(key): inner for key, inner in value.items()}
    elif isinstance(value, (list, tuple)):
        held = {str(i): inner for i, inner in enumerate(value)}
    else:
        if isinstance(value, str) and _SECRET.match(value):
            yield name, value
        return
    for key, inner in held.items():
        yield from _secrets(inner, f"{name}.{key}" if name else key)


@check("records.durable")
def durable(evidence: SystemEvidence) -> CheckFinding:
    """The answer waits for its record by construction; the place is a setting."""
    bad = evidence.troubled("store")
    store = evidence.settings.store
    if store.url is None and str(store.path).startswith(_SWEPT):
        bad.append("store.path is a temporary directory")
    held = evidence.records
    seen = f"{counted(held.size, 'record')}, the newest of {render(held.newest_ns)}" if held and held.size else ""
    mend = "give the store a disk or database of its own"
    return unless(bad, "records may be lost", mend, seen or "a record that cannot be written is no answer", "store")


@check("records.signed")
def log_signed(evidence: SystemEvidence) -> CheckFinding:
    """By a key that all processes share."""
    if bad := evidence.troubled("audit"):
        return failed(f"the log cannot be signed: {named(bad)}", "`pdp config check` says what to write", "audit")
    if not evidence.settings.audit.key:
        mend = "set audit.folder and audit.key (docs/signed-log.md)"
        none = "no checkpoint is signed" if evidence.settings.production else "one was made beside the store"
        return failed(f"audit.key is not set: {none}", mend, "audit")
    return passed("checkpoints are signed with audit.key", "audit.key")


@check("records.witnessed")
def witnessed(evidence: SystemEvidence) -> CheckFinding:
    """Against a log that is replaced as a whole."""
    audit = evidence.settings.audit
    if audit.witnesses is not None:
        return passed("witnesses cosign each checkpoint", "audit.witnesses")
    if audit.push:
        return passed(f"records are pushed to {counted(len(audit.push), 'receiver')}", "audit.push")
    mend = "name witnesses in audit.witnesses (docs/witness.md), or a SIEM in audit.push (docs/audit-push.md)"
    return failed("neither audit.witnesses nor audit.push is set", mend, "audit")


@check("records.recent")
def recent(evidence: SystemEvidence) -> CheckFinding:
    """As the store says; without one to read, nothing is known."""
    held, mend = evidence.records, "run this where the store can be read, after a decision"
    if held is None or not held.size:
        return unknown("no record was read", mend, "store")
    if evidence.at_ns - held.newest_ns > _DAY_NS or not held.by_kind.get("decision"):
        return unknown("no decision was recorded within a day", mend, "store")
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(held.by_kind.items()))
    return passed(f"records of the last day: {kinds}", "store")


@check("watch.metrics")
def metrics(evidence: SystemEvidence) -> CheckFinding:
    """By Prometheus or a collector."""
    told = evidence.settings.telemetry
    if bad := evidence.troubled("telemetry"):
        return failed(f"telemetry cannot be used: {named(bad)}", "`pdp config check` says what to write", "telemetry")
    if not told.enabled or (told.prometheus is None and told.otlp is None):
        return failed("nobody can see metrics", "set telemetry.prometheus or telemetry.otlp", "telemetry")
    return passed("metrics are offered or sent", "telemetry")


@check("watch.alerts")
def alerts(evidence: SystemEvidence) -> CheckFinding:
    """By the rules that are given."""
    mend = "give the rules that your Prometheus has loaded: --alerts FILE (docs/monitoring.md)"
    if evidence.alert_metrics is None:
        return unknown("no rules of alarms were given", mend)
    lacking = [name for name in _WATCHED if name not in evidence.alert_metrics]
    return unless(lacking, "no alarm looks at", mend, "the rules look at all four", "alert rules")


@check("operators")
def operators(evidence: SystemEvidence) -> CheckFinding:
    """A caller, or people of the directory."""
    settings = evidence.settings
    callers = {each.tenant for each in settings.identity.callers.values() if Role.OPERATE in each.roles}
    people = {name for name, each in settings.directory.tenants.items() if each.operators}
    bad = [] if "*" in callers else sorted(set(settings.registry.sets) - callers - people)
    mend = "give a caller the role operate, or a directory operators"
    rests_on = ("identity.callers", "directory.tenants")
    if not callers and not people:
        return failed("nobody may operate", mend, *rests_on)
    return unless(bad, "nobody may operate these tenants", mend, "operators can switch everything off", *rests_on)


@check("people")
def people(evidence: SystemEvidence) -> Found:
    """Each group has so many members."""
    if evidence.policy is None:
        return no_policy()
    bad = evidence.troubled("directory", "approvals")
    if not evidence.settings.directory.tenants:
        mend = "set directory.tenants (docs/approvals.md)"
        return failed("no directory: nobody can approve", mend, "directory.tenants", "policy packs")
    bad += [f"group {group}" for group in evidence.policy.unfilled]
    alone = evidence.settings.registry.sets.keys() - evidence.settings.directory.tenants.keys()
    return bad + [f"tenant {tenant}, which has no directory" for tenant in sorted(alone)]


@check("people.reach")
def reach(evidence: SystemEvidence) -> list[str]:
    """A client's word about its user is not enough."""
    settings = evidence.settings
    bad = evidence.troubled("console")
    bad += [
        f"identity.callers.{name}.may_assert.client_answers"
        for name, each in settings.identity.callers.items()
        if each.may_assert.client_answers
    ]
    console = settings.given(ConsoleOptions)
    if console is None and not settings.approvals.console_url:
        bad.append("console")
    if settings.production and console is not None and not console.https:
        bad.append("console.public_url")
    return bad


@check("results.inspected")
def inspected(evidence: SystemEvidence) -> Found:
    """By each caller that decides."""
    callers = evidence.settings.identity.callers
    deciding = {name: each for name, each in callers.items() if Role.DECIDE in each.roles}
    if not deciding:
        return not_applicable("no caller may decide", "identity.callers")
    return [
        f"identity.callers.{name}.inspects_results" for name, each in deciding.items() if not each.inspects_results
    ]


@check("judge")
def judge(evidence: SystemEvidence) -> CheckFinding:
    """By the organisation's data."""
    if evidence.policy is None:
        return no_policy()
    org = evidence.policy.org
    wanted = org.get("judge")
    asked = org.get("profile") == "balanced" or any(
        value != "none" for value in (wanted.values() if isinstance(wanted, Mapping) else ())
    )
    if not asked:
        return not_applicable("policy asks no judge", "data.org.judge")
    if evidence.settings.judge is None or evidence.troubled("judge"):
        mend = "set up judge (docs/judge.md), or have policy ask people"
        return failed("policy asks a judge, and none can be asked", mend, "data.org", "judge")
    return passed("a judge is configured", "judge")
