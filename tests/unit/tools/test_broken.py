"""Set-ups that were broken on purpose: the items that a reviewer of the guide would fail, and no other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from support.checklist import EXAMINED, ISSUER, RELEASERS, REVIEWED, SetUp, ready, report, reviewed
from support.releases import key_of

from pdp.local.installation import DAY_NS
from pdp.registry import keys as keys_of_registry
from pdp.registry.vetting import set_vetting
from pdp.tools.checklist.evidence import KeptRecords

POLICY = "MB-1.2 MB-1.3 MB-2.3 MB-3.2 MB-4.1 MB-4.2 MB-5.2 MB-5.3 MCP01 MCP02 MCP03 MCP05 MCP06 MCP07 MCP10"
POLICY += " ASI01 ASI02 ASI03 ASI05 ASI06 ASI07 ASI08 ASI09 ASI10"  # every item that rests on policy
GATEWAY = "identity.callers.gateway"


def setting(path: str, value: Any) -> Callable[[SetUp], None]:
    return lambda whole: whole.set(path, value)


def review(**tools: Any) -> Callable[[SetUp], None]:
    return lambda whole: whole.pin(reviewed(**tools))


def no_issuer(whole: SetUp) -> None:
    """The gateway's certificate is all there is, and it states whom it likes."""
    whole.set("identity.issuers", [])
    gateway = whole.values["identity"]["callers"]["gateway"]
    gateway |= {"match": {"sans": ["uri:spiffe://acme.example/gateway"]}, "may_assert": {"claims": [ISSUER]}}
    operator = {**gateway, "match": {"sans": ["uri:spiffe://acme.example/operator"]}, "roles": ["operate"]}
    whole.set("identity.callers", {"gateway": gateway, "operator": operator})


def development(whole: SetUp) -> None:
    whole.set("mode", "development")
    whole.set("identity.issuers.0.development", True)


def report_of(**verdicts: str) -> Callable[[SetUp], None]:
    return lambda whole: whole.reports.update(gateway=report(whole.world.folder / "r.json", **verdicts))


def no_folder(whole: SetUp) -> None:
    whole.set("policy.folder", None)
    whole.set("policy.packs", None)


def broken_pack(whole: SetUp) -> None:
    (whole.world.policy / "packs/acme/acme.rego").write_text("package packs.acme\n\ndeny := 1\n")


def one_signature(whole: SetUp) -> None:
    """The author alone has signed: the reviewer's key is another's."""
    keys = whole.world.folder / "keys"
    (keys / "reviewer.pub.pem").rename(keys / "old.pem")
    keys_of_registry.generate("other", keys)
    (keys / "other.pub.pem").rename(keys / "reviewer.pub.pem")


def expired(whole: SetUp) -> None:
    whole.world.sign(time.time_ns() - 40 * DAY_NS, renew=True)


def unvetted(whole: SetUp) -> None:
    set_vetting(whole.world.registry, "git", None)
    whole.world.sign(time.time_ns())


def changed_manifest(whole: SetUp) -> None:
    path = next((whole.world.registry / "manifests").glob("*.json"))
    path.write_bytes(path.read_bytes().replace(b"git:", b"got:"))


def waived(whole: SetUp) -> None:
    waiver = {"id": "W-1", "code": "schema.open", "server": "git", "owner": "o", "reason": "r"}
    whole.world.waive([waiver], time.time_ns())


def empty_group(whole: SetUp) -> None:
    path = whole.world.folder / "directory.yaml"
    listed = yaml.safe_load(path.read_text())
    for person in listed["people"]:
        person["groups"] = [group for group in person["groups"] if group != "security"]
    path.write_text(yaml.safe_dump(listed))


def no_operators(whole: SetUp) -> None:
    whole.set("identity.callers.operator", None)
    whole.set("directory.tenants.acme.operators", None)


def few_alerts(whole: SetUp) -> None:
    rules = {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "pdp_store_healthy == 0"}]}]}
    whole.alerts = whole.world.folder / "rules.yaml"
    whole.alerts.write_text(yaml.safe_dump(rules))


def old_records(whole: SetUp) -> None:
    whole.records = KeptRecords(7, time.time_ns() - 2 * DAY_NS, reviews={"acme": time.time_ns()})


def reviews(**at_ns: int) -> Callable[[SetUp], None]:
    return lambda whole: setattr(whole, "records", replace(whole.records or KeptRecords(0, 0), reviews=at_ns))


def no_alerts(whole: SetUp) -> None:
    whole.alerts = None


def half_released(whole: SetUp) -> None:
    whole.releases = False
    whole.release_file().write(key_of(whole.world, RELEASERS[0]))


def unreleased_people(whole: SetUp) -> None:
    whole.release()
    whole.releases = False
    path = whole.world.folder / "directory.yaml"
    path.write_text(path.read_text() + "# changed\n")


OBSERVE = {"until": "2999-01-01T00:00:00Z"}
RECORDS = "MB-5.3 MCP08"
GRANT = {"group": "security", "server": "git", "tools": ["git_status"], "until_ns": 4_000_000_000 * 10**9}
# what is broken: by which change, and the items for which something no longer passes
BROKEN: dict[str, tuple[Callable[[SetUp], None], str]] = {
    "nobody is authenticated": (no_issuer, "MB-1.1 MB-1.2 MB-2.1 MCP01 MCP07 ASI03"),
    "keys of development": (development, "MB-1.1 ASI03"),
    "keys of an issuer that cannot be read": (
        setting("identity.issuers.0.jwks_file", "none.json"), "MB-1.1 MCP07 ASI03"),
    "plaintext to the database": (setting("store.tls", "off"), "MB-1.1 ASI07"),
    "a gateway says which groups a subject has": (
        setting(f"{GATEWAY}.may_assert", {"groups": True}), "MB-1.1 MB-2.1 MCP07 ASI03"),
    "tokens for an hour": (setting("identity.issuers.0.max_lifetime_seconds", 3600), "MB-1.2 MCP01"),
    "no token can be revoked": (setting("identity.revoked_jti_file", None), "MB-1.2 MCP01"),
    "a withdrawn key serves for a week": (setting("identity.issuers.0.max_stale_seconds", 604_800), "MB-1.2 MCP01"),
    "a tool that needs no permission": (review(git_status={"permissions": []}), "MB-1.2 MCP02"),
    "a gateway that only observes": (setting(f"{GATEWAY}.observe", OBSERVE), "MB-1.3 MCP06 MCP07 ASI02"),
    "a gateway that fails open": (report_of(away="open"), "MB-1.3"),
    "a gateway that was not examined": (lambda whole: whole.reports.clear(), "MB-1.3"),
    "a gateway that was examined in part": (report_of(killed=""), "MB-1.3"),
    "no policy of the organisation": (no_folder, "MB-1.3 MB-5.3 MCP06 MCP07 ASI02"),
    "a pack that the gate refuses": (broken_pack, POLICY),
    "a pack that may be lost": (setting("policy.packs", None), "MB-5.3"),
    "the gateway approves as well": (
        setting(f"{GATEWAY}.roles", ["decide", "approve"]), "MB-2.1 MCP07 ASI03"),
    "no key for what is stored": (
        setting("service.index_key", "file:none"), "MB-2.2 MB-5.2 MCP01"),
    "no password of the database": (
        setting("store.password", "file:none"), f"MB-2.2 MB-5.2 MCP01 {RECORDS} ASI10"),
    "sessions for a month": (setting("sessions", {"lifetime_seconds": 2_592_000}), "MB-2.3 MCP10"),
    "one tenant may have all": (
        setting("service.shares", {"tenant": {"in_flight": 1}}), "MB-2.3 ASI08"),
    "a set with one signature": (one_signature, "MB-3.1 MCP03 MCP04 MCP09 ASI04 ASI10"),
    "an expired set": (expired, "MB-3.1 MCP03 MCP04 MCP09 ASI04"),
    "a manifest that was changed": (changed_manifest, "MB-3.1 MCP03 MCP04 MCP09 ASI04"),
    "tools without a reviewer": (
        lambda whole: whole.pin({**REVIEWED, "reviewed_by": None}), "MB-3.1 MCP03 ASI02 ASI04"),
    "a package that nobody vetted": (unvetted, "MCP04 ASI04"),
    "a vetting that has expired": (lambda whole: whole.vet(expires="2026-01-01T00:00:00Z"), "MCP04 ASI04"),
    "a package that failed its examination": (
        lambda whole: whole.vet(static={**EXAMINED, "passed": False}), "MCP04 ASI04"),
    "a package that was not attacked": (lambda whole: whole.vet(dynamic=None), "MCP04 ASI04"),
    "policy that nobody released": (setting("release", None), "MCP04 ASI04"),
    "a release of policy alone": (setting("release.demand", ["policy"]), "MCP04 ASI04"),
    "a release that the author alone has signed": (
        half_released, "MB-1.3 MB-5.3 MCP04 MCP06 MCP07 ASI01 ASI02 ASI04 ASI09"),
    "people that are not those that were released": (
        unreleased_people, "MCP04 MCP06 ASI01 ASI04 ASI09"),
    "a tool that nobody compares": (
        review(git_commit={"definition_check": "none"}), "MB-3.2 MCP03 ASI04"),
    "a schema that was waived": (waived, "MB-4.1 ASI02"),
    "nobody said what reads arguments": (review(git_commit={"interpreters": None}), "MCP05 ASI05"),
    "a gateway for every server": (setting(f"{GATEWAY}.servers", ["*"]), "MCP02 MCP09"),
    "a gateway for a server in no set": (setting(f"{GATEWAY}.servers", ["git", "mail"]), "MCP09"),
    "agents count as people": (
        setting("identity.issuers.0.subject_kind", {"otherwise": "human"}), "MCP02 ASI03"),
    "chains longer than policy bounds": (setting("identity.max_actor_depth", 1), "ASI03 ASI07"),
    "nobody is in a group that approves": (empty_group, "MCP06 ASI01 ASI09"),
    "a grant to a misspelt group": (
        lambda whole: whole.org(temporary_grants=[{**GRANT, "group": "securty"}]), "MCP02 ASI03"),
    "a grant that has ended": (
        lambda whole: whole.org(temporary_grants=[{**GRANT, "until_ns": 1}]), "MCP02 ASI03"),
    "no console": (setting("console", None), "ASI09"),
    "results that nobody inspects": (
        setting(f"{GATEWAY}.inspects_results", False), "MCP06 MCP10 ASI01 ASI06"),
    "a judge that nobody set up": (
        lambda whole: whole.org(judge={"people": "none", "medium": "instead"}), "MCP06"),
    "a log without signature": (setting("audit.key", None), RECORDS),
    "nothing said of the log": (setting("audit", None), RECORDS),
    "a log that nobody else has": (setting("audit.push", None), RECORDS),
    "no metrics": (setting("telemetry", {"enabled": False}), f"{RECORDS} ASI08 ASI10"),
    "no alarm on denials": (few_alerts, f"{RECORDS} ASI08 ASI10"),
    "no record since the day before yesterday": (old_records, RECORDS),
    "access that nobody reviewed": (reviews(), "MCP02 ASI03"),
    "access that was reviewed in another tenant": (reviews(globex=time.time_ns()), "MCP02 ASI03"),
    "access that was reviewed last year": (reviews(acme=time.time_ns() - 300 * DAY_NS), "MCP02 ASI03"),
    "alarms that nobody showed": (no_alerts, f"{RECORDS} ASI08 ASI10"),
    "nobody may operate": (no_operators, "MB-5.3 ASI08 ASI10"),
}  # fmt: skip


def test_each_broken_set_up_fails_its_items_and_no_other(tmp_path: Path) -> None:
    before = ready(tmp_path / "whole").short()
    wrong = {}
    for n, (name, (change, expected)) in enumerate(BROKEN.items()):
        whole = ready(tmp_path / str(n))
        change(whole)
        after = whole.short()
        worse = {item for item, checks in after.items() if checks - before[item]}
        if worse != set(expected.split()):
            gained = {
                item: checks - before[item] for item, checks in after.items() if item in worse ^ set(expected.split())
            }
            wrong[name] = gained
    assert wrong == {}
    assert len(BROKEN) >= 25
