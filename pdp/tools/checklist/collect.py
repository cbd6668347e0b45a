"""Collects evidence of a system: the files that its configuration names, loaded as a start would load them, and
files that are given. Nothing is started, bound or written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pdp import __version__
from pdp.core.bytes.digest import Json, sha256_hex
from pdp.core.check import NS
from pdp.core.errors import ConfigurationFault, Fault
from pdp.core.outcome.policy import Bundle
from pdp.host import strict_yaml
from pdp.host.strict_yaml import NotPlainYaml
from pdp.policy.gate import GateReport
from pdp.policy.gate import check as load_gate
from pdp.registry.snapshot import TenantSnapshot
from pdp.registry.view import FileRegistryView
from pdp.runtime.config.settings import Settings, store_password
from pdp.runtime.preflight import loading
from pdp.runtime.preflight.loading import Loaded
from pdp.runtime.preflight.risks import grant_problems, unfilled
from pdp.store.reading import reading
from pdp.store.sqlite.opening import FILE
from pdp.tools.checklist.evidence import (
    ActivePolicy,
    ExaminedCaller,
    KeptRecords,
    PolicyElement,
    RegisteredTarget,
    SignedTenant,
    SystemEvidence,
)

_METRIC = re.compile(r"\bpdp_[a-z_]+")
DAY_NS = 86_400 * NS
_MAX_FILE = 4 * 1024 * 1024


def collect(
    settings: Settings,
    at_ns: int,
    *,
    alerts: Path | None = None,
    reports: Mapping[str, Path] | None = None,
    records: KeptRecords | None = None,
    gate: Callable[[Bundle], GateReport] = load_gate,
) -> SystemEvidence:
    """The evidence at the instant `at_ns`. `alerts` is a file of alert rules, `reports` are those of `pdp doctor
    --json` by caller, `records` what `kept_records` found. Blocks for seconds. Raises ConfigurationFault for a given
    file that is none such."""
    loaded = loading.load(settings, at_ns, gate)
    problems = [(each.path, "config.invalid") for each in settings.contradictions()]
    problems += [(each.path, each.code) for each in loaded.problems]
    return SystemEvidence(
        at_ns=at_ns,
        version=__version__,
        settings=settings,
        problems=tuple(problems),
        policy=_policy(loaded, at_ns),
        release=loaded.releases.current if loaded.releases is not None else None,
        tenants=tuple(_tenants(settings, loaded)),
        records=records,
        alert_metrics=_alert_metrics(alerts) if alerts is not None else None,
        examined=_examined(settings, reports or {}),
    )


def kept_records(settings: Settings, at_ns: int) -> KeptRecords | None:
    """What the store holds, which a server may be writing; None where it cannot be read."""
    if settings.store.url is None and not (settings.store.path / FILE).is_file():
        return None
    try:
        with reading(settings.store, store_password(settings)) as reader:
            counted = reader.counted(at_ns - DAY_NS)
            return KeptRecords(reader.size(), reader.newest_ns(), counted, reader.latest("review"))
    except Fault:
        return None


def _policy(loaded: Loaded, at_ns: int) -> ActivePolicy | None:
    if loaded.bundle is None or loaded.packs is None:
        return None
    listed = tuple(PolicyElement(pack.name, *each) for pack in loaded.packs for each in pack.controls)
    lacking = sorted({f"{group} of {tenant}" for tenant, _, group, _ in unfilled(loaded.directories, loaded.packs)})
    names = tuple(pack.name for pack in loaded.packs)
    org: Mapping[str, Json] = json.loads(loaded.bundle.org)
    return ActivePolicy(
        loaded.bundle.digest, names, listed, org, tuple(lacking), tuple(grant_problems(loaded, at_ns))
    )


def _tenants(settings: Settings, loaded: Loaded) -> Iterator[SignedTenant]:
    view = loaded.registry
    if view is not None:
        yield from (_tenant(name, view.tenants[name], view) for name in sorted(settings.registry.sets))


def _tenant(name: str, snapshot: TenantSnapshot, view: FileRegistryView) -> SignedTenant:
    pins = view.pins(name)
    active = [
        (server, tool)
        for (server, _), tool in sorted(snapshot.tools.items())
        if tool.entry.state == "active" and tool.verified is not None
    ]
    return SignedTenant(
        name=name,
        serial=pins.serial,
        digest=pins.digest,
        expires=snapshot.signed.index.expires if snapshot.signed is not None else "",
        problem=view.state(name) or snapshot.trouble or snapshot.waivers_problem,
        servers=view.servers(name),
        targets=tuple(
            RegisteredTarget(name, server, tool.entry.label, tool.verified.manifest)
            for server, tool in active
            if tool.verified is not None
        ),
        refused=tuple(f"{label} ({code})" for label, code in (*snapshot.refused(), *view.unseen(name))),
        waivers=pins.waivers,
        agents=_agents(snapshot),
        vettings={name: server.vetting for name, server in snapshot.servers.items() if server.vetting is not None},
    )


def _agents(snapshot: TenantSnapshot) -> dict[str, int] | None:
    signed = snapshot.signed
    if signed is None or signed.index.agents is None:
        return None
    return {name: entry.expires_ns for name, entry in signed.agents.items()}


def _alert_metrics(path: Path) -> frozenset[str]:
    """The metrics that the expressions of rules look at."""
    try:
        rules = strict_yaml.read(_read(path, "--alerts"))
    except NotPlainYaml as problem:
        raise ConfigurationFault("checklist.alerts", f"--alerts: {path.name}: {problem}") from None
    groups = rules.get("groups") if isinstance(rules, dict) else None
    if not isinstance(groups, list):
        raise ConfigurationFault("checklist.alerts", f"--alerts: {path.name}: has no groups of rules for Prometheus")
    listed = (rule for group in groups if isinstance(group, dict) for rule in group.get("rules") or ())
    found = (rule for rule in listed if isinstance(rule, dict) and "alert" in rule)
    return frozenset(name for rule in found for name in _METRIC.findall(str(rule.get("expr", ""))))


def _examined(settings: Settings, reports: Mapping[str, Path]) -> dict[str, ExaminedCaller]:
    if unknown := sorted(set(reports) - set(settings.identity.callers)):
        known = ", ".join(sorted(settings.identity.callers))
        raise ConfigurationFault(
            "checklist.doctor", f"--doctor: identity.callers has no caller `{unknown[0]}`; it has {known}"
        )
    return {name: _report(path) for name, path in reports.items()}


def _report(path: Path) -> ExaminedCaller:
    raw = _read(path, "--doctor")
    try:
        verdicts = {str(row["way"]): str(row["verdict"]) for row in json.loads(raw)}
    except (ValueError, TypeError, KeyError):
        verdicts = {}
    if not verdicts:
        raise ConfigurationFault(
            "checklist.doctor", f"--doctor: {path.name}: is no report; `pdp doctor --json` prints one"
        )
    return ExaminedCaller(verdicts, sha256_hex(raw))


def _read(path: Path, option: str) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise ConfigurationFault(
            "checklist.unreadable", f"{option}: {path.name}: cannot be read ({error.strerror})"
        ) from None
    if len(raw) > _MAX_FILE:
        raise ConfigurationFault("checklist.unreadable", f"{option}: {path.name}: is larger than {_MAX_FILE} bytes")
    return raw
