"""Checks of what may be asked for: signed sets, reviewed tools, and the servers behind them."""

from __future__ import annotations

from collections.abc import Callable

from pdp.core.call.methods import OPERATION
from pdp.core.call.vetting import EXAMINATIONS
from pdp.people.console.wording import counted
from pdp.registry.documents import VettingEntry
from pdp.tools.checklist.checks import (
    STATEMENT,
    CheckFinding,
    ItemCheck,
    beyond,
    check,
    failed,
    named,
    not_applicable,
    passed,
    unknown,
    unless,
    worded,
)
from pdp.tools.checklist.evidence import RegisteredTarget, SystemEvidence

_DAY = 86_400
_SINKS = frozenset({"process", "database", "filesystem"})  # what is reached by an interpreter


@check("registry.signed")
def signed(evidence: SystemEvidence) -> CheckFinding:
    """Sets that count now."""
    mend = "`pdp tools verify FOLDER` says why, and what to do"
    if not evidence.settings.registry.sets:
        return failed(
            "no set of signed tools is configured", "pin, sign and name a set (docs/registry.md)", "registry"
        )
    bad = evidence.troubled("registry")
    bad += [f"{each.name} ({each.problem})" for each in evidence.tenants if each.problem]
    bad += [f"{tenant.name}/{name} does not verify" for tenant in evidence.tenants for name in tenant.refused]
    if evidence.settings.registry.max_stale_seconds > _DAY:
        bad.append("registry.max_stale_seconds is above a day")
    sets = tuple(f"set of {each.name}, serial {each.serial}, until {each.expires}" for each in evidence.tenants)
    targets = counted(sum(1 for _ in evidence.targets()), "target")
    return unless(bad, "signed sets do not count", mend, f"{targets} signed by author and reviewer", *sets)


def _of_targets(name: str, bad: Callable[[RegisteredTarget], bool]) -> ItemCheck:
    """A check of each active target."""

    def found(evidence: SystemEvidence) -> CheckFinding:
        targets = list(evidence.targets())
        if not targets:
            return not_applicable("no tool is registered, so none can be called", "registry")
        wrong = [f"{each.tenant}/{each.label}" for each in targets if bad(each)]
        return worded(name, wrong, f" ({counted(len(targets), 'target')})")

    return check(name)(found)


reviewed = _of_targets(
    "registry.reviewed", lambda each: each.manifest.reviewed_by is None or not each.manifest.version
)
compared = _of_targets(
    "registry.compared",
    lambda each: each.manifest.definition_check == "none" and each.manifest.kind != OPERATION,
)
permissions = _of_targets("registry.permissions", lambda each: not each.manifest.permissions)
interpreters = _of_targets(
    "registry.interpreters",
    lambda each: (
        each.manifest.interpreters is None
        and not each.manifest.annotations.read_only
        and any(sink.kind in _SINKS for sink in each.manifest.sinks)
    ),
)
model_fields, contained, only_way = map(beyond, ("servers.model_fields", "servers.contained", "servers.only_way"))


@check("registry.owners")
def servers_known(evidence: SystemEvidence) -> CheckFinding:
    """What callers may ask about is in a set, so nothing else can be called."""
    known = {(tenant.name, server) for tenant in evidence.tenants for server in tenant.servers}
    bad = [
        f"identity.callers.{name}.servers: {server}"
        for name, caller in evidence.settings.identity.callers.items()
        for server in sorted(caller.servers - {"*"})
        if caller.tenant != "*" and (caller.tenant, server) not in known
    ]
    if not known:
        return not_applicable("no server is registered, so every call is denied", "registry")
    mend = "pin and sign the server, or take its name out"
    well = f"{counted(len(known), 'server')} registered; calls of all others are denied"
    return unless(bad, "callers name servers that no signed set has", mend, well, "registry", "identity.callers")


@check("servers.packages")
def packages(evidence: SystemEvidence) -> CheckFinding:
    """What is vetted is held to it. A server that is not may be another company's, whose package nobody here sees."""
    servers = {
        f"{tenant.name}/{server}": tenant.vettings.get(server)
        for tenant in evidence.tenants
        for server in tenant.servers
    }
    if not servers:
        return not_applicable("no server is registered, so nothing runs behind a gateway", "registry")
    bad = [
        f"{name} ({why})"
        for name, vetting in servers.items()
        if vetting and (why := _short_of(vetting, evidence.at_ns))
    ]
    if bad:
        return failed(
            f"packages do not hold: {named(bad)}", "have them examined, `pdp tools vet`, sign (docs/vetting.md)"
        )
    if lacking := [name for name, vetting in servers.items() if vetting is None]:
        why = "a signed manifest pins the definition of a tool, not the program that runs"
        mend = f"vet and sign its package (docs/vetting.md); of one that is not yours, {STATEMENT}"
        return unknown(f"{why} ({named(lacking)})", mend, "registry")
    return passed(f"{counted(len(servers), 'server')} vetted", "signed sets")


def _short_of(vetting: VettingEntry, at_ns: int) -> str:
    """What a vetting lacks, empty for none."""
    if at_ns >= vetting.expires_ns:
        return "expired"
    lacking = set(EXAMINATIONS) - {name for name, _ in vetting.reports()}
    failed_ones = {name for name, report in vetting.reports() if not report.passed and report.accepted is None}
    return ", ".join(f"{name} examination" for name in sorted(lacking | failed_ones))


@check("agents.registered")
def agents(evidence: SystemEvidence) -> CheckFinding:
    """A signed list in every tenant, and nobody on it whose registration has ended."""
    mend = "write the agents into a file, `pdp tools agents`, and sign (docs/agents.md)"
    if not evidence.tenants:
        return not_applicable("no tool is registered, so no agent can call one", "registry")
    bad = [f"{tenant.name} has no list" for tenant in evidence.tenants if tenant.agents is None]
    bad += [
        f"{tenant.name}: {name} has expired"
        for tenant in evidence.tenants
        for name, expires_ns in sorted((tenant.agents or {}).items())
        if evidence.at_ns >= expires_ns
    ]
    count = counted(sum(len(tenant.agents or {}) for tenant in evidence.tenants), "agent")
    return unless(bad, "agents are not registered", mend, f"{count} registered, others are denied", "signed sets")


@check("agents.channels")
def channels(_evidence: SystemEvidence) -> CheckFinding:
    """Only tool calls pass the decision point."""
    return unknown("only tool calls pass the decision point, not what agents say to one another", STATEMENT)


@check("content.bounded")
def bounded(evidence: SystemEvidence) -> CheckFinding:
    """The configuration knows no way to leave a bound out."""
    content = evidence.settings.content
    why = f"arguments of {content.max_arguments_bytes} bytes at most, results of {content.max_result_bytes}"
    return passed(why, "content")


@check("messages.structured")
def structured(evidence: SystemEvidence) -> CheckFinding:
    """The protocol has no other form."""
    return passed("the protocol has no other form; what does not parse is refused", f"pdp {evidence.version}")
