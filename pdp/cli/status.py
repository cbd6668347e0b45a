"""`pdp status` and `pdp reload`: what a server runs on, and having it look again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click
from google.protobuf.json_format import MessageToJson
from google.protobuf.timestamp_pb2 import Timestamp

from pdp.cli.admin_connection import AdminConnection, reaching
from pdp.v1 import admin_pb2

REFUSED = 10
PARTS = {
    "policy": admin_pb2.RELOAD_PART_POLICY,
    "registry": admin_pb2.RELOAD_PART_REGISTRY,
    "keys": admin_pb2.RELOAD_PART_KEYS,
    "directory": admin_pb2.RELOAD_PART_DIRECTORY,
}
_NAMES = {number: name for name, number in PARTS.items()}
_MEGABYTE = 1_000_000
_DIGEST = 12  # characters that tell digests apart


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@reaching
def status(*, as_json: bool, reach: AdminConnection) -> None:
    """Say what a server runs on: policy, registry, keys, store, switches, and what is wrong with them.

    Exit codes: 0 it answered, 2 usage, 1 fault. Whether it serves is a question for `pdp health`.
    """
    found = reach.call("GetStatus", admin_pb2.GetStatusRequest())
    if as_json:
        click.echo(MessageToJson(found, preserving_proto_field_name=True))
        return
    for line in _lines(found):
        click.echo(line)


@click.command()
@click.argument("parts", metavar="[policy|registry|keys|directory]...", nargs=-1, type=click.Choice(list(PARTS)))
@reaching
def reload(*, parts: tuple[str, ...], reach: AdminConnection) -> None:
    """Have a server read policy, registry, keys and the directory again now; it looks every second by itself.

    Exit codes: 0 all is in force, 10 something was refused and the last good one stays, 2 usage, 1 fault.
    """
    found = reach.call("Reload", admin_pb2.ReloadRequest(parts=[PARTS[part] for part in parts]))
    for result in found.results:
        said = f"refused: {_fault(result.failure)}" if not result.ok else "changed" if result.changed else "unchanged"
        click.echo(f"{_NAMES.get(result.part, 'part'):10}{said}")
    if not all(result.ok for result in found.results):
        raise SystemExit(REFUSED)


def _lines(found: admin_pb2.GetStatusResponse) -> Iterator[str]:
    state = admin_pb2.ServingState.Name(found.serving).removeprefix("SERVING_STATE_").lower()
    yield f"{'server':10}{found.version}, {state.replace('_', ' ')}, run {found.boot_id}"
    yield from _policy(found)
    for each in found.registries:
        expires = f", expires {_at(each.expires_at)}" if each.HasField("expires_at") else ""
        stale = ", the last good one" if each.stale else ""
        yield f"{'registry':10}{each.tenant}: serial {each.serial}, {each.tools_loaded} tools{expires}{stale}"
        for tool in each.tools_denied:
            yield _more(f"denied: {tool.server}/{tool.name}: {', '.join(r.code for r in tool.reasons)}")
        if each.HasField("last_failure"):
            yield _more(_fault(each.last_failure))
    for keys in found.key_sets:
        read = f", read {_at(keys.fetched_at)}" if keys.HasField("fetched_at") else ""
        yield f"{'keys':10}{keys.issuer}: {keys.keys} usable{read}"
        if keys.HasField("last_failure"):
            yield _more(_fault(keys.last_failure))
    yield from _directories(found)
    store = found.store
    yield f"{'store':10}{store.log}: {store.records} records, {store.size_bytes / _MEGABYTE:.1f} MB"
    if store.HasField("last_failure"):
        yield _more(_fault(store.last_failure))
    yield from _differences(found)
    yield from _switches(found)


def _differences(found: admin_pb2.GetStatusResponse) -> Iterator[str]:
    for each in found.differences:
        whose = f" of {each.tenant}" if each.tenant else ""
        here, there = (digest[:_DIGEST] or "none" for digest in (each.here, each.fleet))
        yield f"{'differs':10}{_printable(f'{each.part}{whose}')}: {here} here, {there} in the fleet"


def _directories(found: admin_pb2.GetStatusResponse) -> Iterator[str]:
    for people in found.directories:
        stale = f", the last good one, of {_at(people.loaded_at)}" if people.stale else ""
        yield f"{'directory':10}{people.tenant}: {people.people} people, {people.groups} groups{stale}"
        if people.HasField("last_failure"):
            yield _more(_fault(people.last_failure))


def _policy(found: admin_pb2.GetStatusResponse) -> Iterator[str]:
    policy, engine = found.policy, found.engine
    if policy.HasField("policy"):
        yield f"{'policy':10}{policy.policy.revision}, since {_at(policy.activated_at)}"
        yield _more(f"{engine.engine}, workers: {engine.workers}, lost since the start: {engine.worker_deaths}")
    else:
        yield f"{'policy':10}none: everything is denied"
    for pack in policy.packs:
        yield _more(f"pack {pack.name} of {pack.owner}: {_grants(pack.servers)}")
    if policy.HasField("last_failure"):
        yield _more(f"another was refused: {_fault(policy.last_failure)}")


def _grants(servers: Iterable[str]) -> str:
    named = ", ".join(servers)
    return f"grants on {named}" if named else "grants nothing"


def _switches(found: admin_pb2.GetStatusResponse) -> Iterator[str]:
    for each in found.switches:
        scope = admin_pb2.SwitchScope.Name(each.scope).removeprefix("SWITCH_SCOPE_").lower()
        what = " ".join(part for part in (scope, each.server, each.value) if part)
        until = f", until {_at(each.until)}" if each.HasField("until") else ""
        yield f"{'off':10}{what} ({each.tenant or 'every tenant'}), by {each.set_by} at {_at(each.set_at)}{until}"
        if each.reason:
            yield _more(each.reason)


def _more(text: str) -> str:
    return f"{'':10}{_printable(text)}"


def _fault(fault: admin_pb2.Fault) -> str:
    return _printable(f"{fault.code}: {fault.message}")


def _printable(text: str) -> str:
    """Reasons are free text of other operators, and a terminal obeys what it prints."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _at(instant: Timestamp) -> str:
    return f"{instant.ToDatetime():%Y-%m-%d %H:%M:%S}Z"
