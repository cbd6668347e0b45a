"""Warnings from what was loaded, held against each other and the clock."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pdp.authoring import registry_names
from pdp.config.settings import Settings
from pdp.core.approvals.directory import look_alikes
from pdp.core.names import did_you_mean
from pdp.core.term import Term
from pdp.ports import Pack, RegistryView
from pdp.runtime.preflight.finding import Path, Risk
from pdp.runtime.preflight.loading import Loaded
from pdp.service.operations.admin import ANY_TENANT

_POLICY: Path = ("policy", "folder")
_BASELINE = "baseline"


def risks(settings: Settings, loaded: Loaded, at_ns: int) -> Iterator[Risk]:
    """What of the parts does not fit together, and what ends soon."""
    if loaded.registry is not None:
        yield from _servers(settings, loaded.registry)
        yield from _refused(loaded)
        yield from _names(settings, loaded, loaded.registry)
    if loaded.packs is not None:
        yield from _seats(settings, loaded, loaded.packs)
        yield from _judge(settings, loaded, loaded.packs)
        yield from _passkeys(settings, loaded.packs)
    yield from _alike(loaded)
    yield from ending(loaded.terms, at_ns)


def ending(terms: tuple[Term, ...], at_ns: int) -> Iterator[Risk]:
    """What has to be renewed; a certificate that does not hold is told of as a problem."""
    for term in terms:
        over = term.kind in {"certificate", "authorities"} and not term.holds(at_ns)
        if not over and (why := term.warning(at_ns)):
            yield Risk(term.path, why)


def _servers(settings: Settings, registry: RegistryView) -> Iterator[Risk]:
    """Servers that callers may ask about and no signed set of their tenant has."""
    for name, caller in settings.identity.callers.items():
        tenants = tuple(settings.registry.sets) if caller.tenant == ANY_TENANT else (caller.tenant,)
        loaded = [tenant for tenant in tenants if registry.serial(tenant)]
        known = {server for tenant in loaded for server in registry.servers(tenant)}
        for server in sorted(caller.servers - known - {"*"}) if loaded else ():
            hint = did_you_mean(server, known, "It is denied until it is pinned and signed.")
            yield Risk(
                ("identity", "callers", name, "servers"),
                f"the signed set of `{caller.tenant}` has no server `{server}`. {hint}",
            )


def _refused(loaded: Loaded) -> Iterator[Risk]:
    """Tools and waivers that do not verify, of a set that does."""
    for tenant, status in loaded.registry_status.items():
        state = status if isinstance(status, dict) else {}
        path = ("registry", "sets", tenant)
        refused, waivers = state.get("refused"), state.get("waivers_problem")
        if refused and isinstance(refused, dict):
            names = ", ".join(f"{name} ({code})" for name, code in sorted(refused.items()))
            yield Risk(path, f"tools are denied: {names}; `pdp tools verify` says why")
        if waivers:
            yield Risk(path, f"the waivers are not used ({waivers}); `pdp tools verify` says why")


def _names(settings: Settings, loaded: Loaded, registry: RegistryView) -> Iterator[Risk]:
    """Servers, tools and arguments that packs name and no signed set has."""
    known = registry_names.of_view(registry, settings.registry.sets)
    for found in registry_names.compare(loaded.naming, known):
        yield Risk(_POLICY, f"{found.path}:{found.line}: {found.message} {found.hint}")


def _seats(settings: Settings, loaded: Loaded, packs: tuple[Pack, ...]) -> Iterator[Risk]:
    """Seats that no directory could fill: calls that want them are denied, not left pending."""
    known = {group for directory in loaded.directories.values() for group in directory.group_names}
    for pack in packs if settings.directory.tenants and loaded.directories else ():
        for group, n in pack.seats:
            if not any(directory.can_seat(group, n) for directory in loaded.directories.values()):
                hint = did_you_mean(group, known - {group}, "Such calls are denied.")
                why = f"pack {pack.name} wants {n} of the group `{group}`, whom no directory has. {hint}"
                yield Risk(_POLICY, why)


def _alike(loaded: Loaded) -> Iterator[Risk]:
    """People whose accounts an approver may take for one another's."""
    for tenant, directory in loaded.directories.items():
        for issuer, one, other in look_alikes(directory):
            why = f"{one} and {other} have accounts at {issuer} that read alike; find out whose they are"
            yield Risk(("directory", "tenants", tenant), why)


def _judge(settings: Settings, loaded: Loaded, packs: tuple[Pack, ...]) -> Iterator[Risk]:
    """Verdicts that policy wants and nobody gives; the baseline does only where the organisation's data says so."""
    if settings.judge is not None:
        return
    org = json.loads(loaded.bundle.org) if loaded.bundle is not None else {}
    asked = any(value != "none" for value in org.get("judge", {}).values())
    for pack in packs:
        codes = [code for kind, code, _ in pack.requires if kind == "judge"]
        if codes and (asked or pack.name != _BASELINE):
            what = f"pack {pack.name} wants a judge ({', '.join(codes)})"
            why = f"not set, and {what}: it fails, or takes its `otherwise`"
            yield Risk(("judge",), why)


def _passkeys(settings: Settings, packs: tuple[Pack, ...]) -> Iterator[Risk]:
    """Passkeys that policy wants: people have them at the console's address only."""
    if settings.console is not None or settings.approvals.console_url:
        return
    for pack in packs:
        codes = [code for _, code, assurance in pack.requires if assurance == "passkey"]
        if codes:
            why = (
                f"not set, and pack {pack.name} wants a passkey ({', '.join(codes)}): without a console nobody can "
                "use one, and such calls wait until they expire"
            )
            yield Risk(("console",), why)
