"""Warnings: choices in the settings that loosen something or lead nowhere, and loaded parts that do not fit together
or expire soon."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from pdp.core.approvals.directory import Directory
from pdp.core.call.names import did_you_mean, slip
from pdp.core.call.request import ANY_TENANT, Role
from pdp.core.call.term import Term
from pdp.core.check import NS
from pdp.core.ports import Pack, RegistryView
from pdp.core.record.search import OF_NONE
from pdp.identity.options import LIFETIME_SECONDS
from pdp.runtime import registry_names
from pdp.runtime.config.settings import Settings
from pdp.runtime.preflight.loading import Loaded, Path, Risk
from pdp.runtime.telemetry.options import beyond_this_machine
from pdp.sessions.options import RedisAddress
from pdp.store.options import PostgresAddress

_MINUTE, _DAY = 60, 86_400
_BESIDE_DECIDE = frozenset({Role.EXPLAIN, Role.APPROVE, Role.OPERATE})
_PLAIN = "plain http; any process of this machine may listen there"


def choices(settings: Settings) -> Iterator[Risk]:
    """Settings that are weaker than the default or unusual in production."""
    for section, key in settings.retired:
        yield Risk((section, key), "has no effect: what it set is fixed; take it out of the configuration")
    yield from _process(settings)
    yield from _callers(settings)
    yield from _issuers(settings)
    yield from _tenants(settings)
    yield from _accounts(settings)


def _process(settings: Settings) -> Iterator[Risk]:
    tls, opa, vault, told = settings.server.tls, settings.policy.opa, settings.vault, settings.telemetry
    redis = settings.sessions.redis
    judge, console = settings.judge, settings.console
    clear = "plain http in production: an attacker on the network reads and changes pages and answers"
    looser = (
        (not settings.production, "mode", "development: keys of `pdp dev keys` are accepted, gRPC reflection is on"),
        (settings.server.socket_group, "server.socket_group", "the whole group may connect to the Unix socket"),
        (
            tls is not None and tls.client_ca_file is None,
            "server.tls.client_ca_file",
            "not set: callers are known by their tokens alone",
        ),
        (
            settings.service.allow_seconds > _MINUTE,
            "service.allow_seconds",
            "an allow outlives a change of policy for more than a minute",
        ),
        (settings.policy.folder is None, "policy.folder", "not set: nothing is granted, every call is denied"),
        (
            settings.production and settings.policy.folder is not None and not settings.policy.packs,
            "policy.packs",
            "not set: at a start nothing tells a folder that lost a pack from one that never had it",
        ),
        (
            settings.production and settings.release is None,
            "release",
            "not set: policy, prompts and directories count as they lie there; author and reviewer sign only tools",
        ),
        (
            settings.production and not settings.audit.key,
            "audit.key",
            "not set: no checkpoint of the log is signed, so nobody can tell that a record was changed or taken out",
        ),
        (not settings.registry.sets, "registry.sets", "empty: every server is unknown, every call is denied"),
        (
            settings.registry.max_stale_seconds > _DAY,
            "registry.max_stale_seconds",
            "a withdrawal may take more than a day to be noticed",
        ),
        (not settings.identity.callers, "identity.callers", "none: nobody may ask, every call is refused"),
        (
            bool(settings.identity.issuers) and settings.identity.revoked_jti_file is None,
            "identity.revoked_jti_file",
            "not set: no token of any issuer can be revoked before it ends",
        ),
        (
            not settings.directory.tenants,
            "directory.tenants",
            "none: nobody can answer where policy wants an approval",
        ),
        (opa is not None and opa.url.startswith("http:"), "policy.opa.url", _PLAIN),
        (vault is not None and vault.url.startswith("http:"), "vault.url", _PLAIN),
        (settings.production and console is not None and not console.https, "console.public_url", clear),
        (
            settings.production and settings.approvals.console_url.startswith("http:"),
            "approvals.console_url",
            clear,
        ),
        (
            judge is not None and judge.plain_http,
            "judge.plain_http",
            "true: an attacker on the network reads the prompts of the judge and forges its verdicts",
        ),
        (
            told.enabled and told.prometheus is not None and beyond_this_machine(told.prometheus),
            "telemetry.prometheus",
            "plain HTTP without authentication, beyond this machine; it names tenants and issuers",
        ),
        (
            settings.store.url is None and str(settings.store.path).startswith(("/tmp/", "/dev/shm/", "/var/tmp/")),  # noqa: S108 - a warning
            "store.path",
            "a temporary directory: records may be swept away",
        ),
        (
            settings.store.url is not None
            and settings.store.tls == "off"
            and not PostgresAddress.read(settings.store.url).socket,
            "store.tls",
            "off: an attacker on the network reads and changes records",
        ),
        (
            redis is not None and redis.tls == "off" and not RedisAddress.read(redis.url).socket,
            "sessions.redis.tls",
            "off: an attacker on the network changes what is known of sessions",
        ),
        (
            redis is not None and not redis.password,
            "sessions.redis.password",
            "none: an attacker who reaches Redis changes what is known of sessions",
        ),
    )
    yield from (Risk(tuple(path.split(".")), why) for holds, path, why in looser if holds)


def _callers(settings: Settings) -> Iterator[Risk]:
    for name, caller in settings.identity.callers.items():
        beside = ", ".join(sorted(caller.roles & _BESIDE_DECIDE)) if Role.DECIDE in caller.roles else ""
        asks = caller.roles & {Role.DECIDE, Role.EXPLAIN}
        looser = (
            ("*" in caller.servers, "servers", '"*": it may ask about every server of its tenant'),
            (bool(asks) and not caller.servers, "servers", "none: it may ask about no server"),
            (caller.tenant == ANY_TENANT, "tenant", '"*": it acts for every tenant'),
            (
                bool(caller.roles & {Role.APPROVE, Role.SUBJECT}) and not caller.person_clients,
                "person_clients",
                "not set: every token that names a client is refused here; list those that people sign in with",
            ),
            (not caller.roles, "roles", "none: it may do nothing"),
            (
                bool(beside),
                "roles",
                f"decide together with {beside}: keep callers for decisions apart from those that rule on them",
            ),
            (
                bool(caller.may_assert.claims),
                "may_assert.claims",
                "it may say who the subject is, without a token",
            ),
            (
                caller.may_assert.groups,
                "may_assert.groups",
                "it may say which groups a subject is in, and groups grant",
            ),
            (
                caller.may_assert.client_answers,
                "may_assert.client_answers",
                "an agent's client may confirm calls for its user, where policy lets client_asserted suffice",
            ),
            (
                caller.may_assert.effects,
                "may_assert.effects",
                "it may have any tool that it may call quarantined for the whole tenant, by what it says was seen",
            ),
            (caller.observe is not None, "observe", caller.observe.said if caller.observe is not None else ""),
            (
                Role.DECIDE in caller.roles and not caller.inspects_results,
                "inspects_results",
                "false: once it let a call through, subject and agent stay at the worst labels, with every caller",
            ),
        )
        yield from (Risk(("identity", "callers", name, *key.split(".")), why) for holds, key, why in looser if holds)


def _issuers(settings: Settings) -> Iterator[Risk]:
    for i, issuer in enumerate(settings.identity.issuers):
        path = ("identity", "issuers", str(i))
        if issuer.development:
            yield Risk((*path, "development"), "its private key lies beside its public one")
        if issuer.jwks_url is not None and issuer.jwks_url.startswith("http:"):
            yield Risk((*path, "jwks_url"), _PLAIN)
        if issuer.max_lifetime_seconds > LIFETIME_SECONDS:
            minutes, usual = issuer.max_lifetime_seconds // _MINUTE, LIFETIME_SECONDS // _MINUTE
            why = f"a stolen token may be good for {minutes} minutes; {usual} are the default"
            yield Risk((*path, "max_lifetime_seconds"), why)
        if issuer.max_stale_seconds > _DAY:
            yield Risk((*path, "max_stale_seconds"), "a withdrawn key is accepted for more than a day")
        if issuer.subject_kind.otherwise == "human":
            yield Risk((*path, "subject_kind", "otherwise"), "tokens without a mark count as those of a person")


def _tenants(settings: Settings) -> Iterator[Risk]:
    """Tenants without a signed set: all their calls are denied."""
    signed = settings.registry.sets
    for path, tenant in _named_tenants(settings):
        if tenant not in signed and tenant != ANY_TENANT:
            hint = did_you_mean(tenant, signed, "every call of it is denied.")
            yield Risk(path, f"registry.sets has no tenant `{tenant}`. {hint}")


def _named_tenants(settings: Settings) -> Iterator[tuple[Path, str]]:
    console, judge = settings.console, settings.judge
    yield from ((("identity", "callers", name, "tenant"), c.tenant) for name, c in settings.identity.callers.items())
    yield from ((("directory", "tenants", tenant), tenant) for tenant in settings.directory.tenants)
    yield from ((("judge", "tenant_budgets", tenant), tenant) for tenant in (judge.tenant_budgets if judge else ()))
    for name, channel in settings.approvals.channels.items():
        yield from ((("approvals", "channels", name, "tenants"), tenant) for tenant in channel.tenants)
    for name, receiver in settings.audit.push.items():
        yield from ((("audit", "push", name, "tenants"), tenant) for tenant in receiver.tenants if tenant != OF_NONE)
    yield from (
        (("identity", "issuers", str(i), "tenant"), issuer.tenant)
        for i, issuer in enumerate(settings.identity.issuers)
    )
    if console is not None:
        yield from (
            (("console", "providers", str(i), "tenant"), each.tenant) for i, each in enumerate(console.providers)
        )
        yield from (
            (("console", "development_accounts", str(i), "tenant"), each.tenant)
            for i, each in enumerate(console.development_accounts)
        )


def _accounts(settings: Settings) -> Iterator[Risk]:
    """Issuers without a sign-in: their accounts and groups have no effect."""
    console = settings.console
    issuers = {issuer.issuer for issuer in settings.identity.issuers}
    issuers |= {each.issuer for each in console.providers} if console is not None else set()
    issuers |= {each.issuer for each in console.development_accounts} if console is not None else set()
    for tenant, directory in settings.directory.tenants.items():
        path: Path = ("directory", "tenants", tenant)
        named: list[tuple[Path, str]] = [
            ((*path, "claims", str(i), "issuer"), each.issuer) for i, each in enumerate(directory.claims)
        ]
        if directory.scim is not None:
            named.append(((*path, "scim", "issuer"), directory.scim.issuer))
        for where, issuer in named:
            if issuer not in issuers:
                yield Risk(where, "is none of identity.issuers or console.providers; its accounts have no effect")


_POLICY: Path = ("policy", "folder")
_BASELINE = "baseline"


def risks(settings: Settings, loaded: Loaded, at_ns: int) -> Iterator[Risk]:
    """Mismatches between the loaded parts, and terms that end soon."""
    if loaded.registry is not None:
        yield from _servers(settings, loaded.registry)
        yield from _refused(loaded)
        yield from _names(settings, loaded, loaded.registry)
    if loaded.packs is not None:
        yield from _seats(loaded, loaded.packs)
        yield from (Risk(_POLICY, problem) for problem in grant_problems(loaded, at_ns))
        yield from _judge(settings, loaded, loaded.packs)
        yield from _passkeys(settings, loaded.packs)
    yield from ending(loaded.terms, at_ns)


def ending(terms: tuple[Term, ...], at_ns: int) -> Iterator[Risk]:
    """Terms to renew. Invalid certificates are problems, not risks."""
    for term in terms:
        over = term.kind in {"certificate", "authorities"} and not term.holds(at_ns)
        if not over and (why := term.warning(at_ns)):
            yield Risk(term.path, why)


def _servers(settings: Settings, registry: RegistryView) -> Iterator[Risk]:
    """Servers that callers may ask about and no signed set of their tenant has."""
    for name, caller in settings.identity.callers.items():
        tenants = tuple(settings.registry.sets) if caller.tenant == ANY_TENANT else (caller.tenant,)
        loaded = [tenant for tenant in tenants if registry.pins(tenant).serial]
        servers = {server for tenant in loaded for server in registry.servers(tenant)}
        for server in sorted(caller.servers - servers - {"*"}) if loaded else ():
            hint = did_you_mean(server, servers, "It is denied until it is pinned and signed.")
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
    registered = registry_names.of_view(registry, settings.registry.sets)
    for mention in registry_names.compare(loaded.naming, registered):
        yield Risk(_POLICY, f"{mention.path}:{mention.line}: {mention.message} {mention.hint}")


def _seats(loaded: Loaded, packs: tuple[Pack, ...]) -> Iterator[Risk]:
    """Seats that a tenant's directory could not fill: its calls that want them are denied, not left pending."""
    for tenant, pack, group, n in unfilled(loaded.directories, packs):
        others = loaded.directories[tenant].group_names.keys() - {group}
        hint = did_you_mean(group, others, "Such calls of it are denied.")
        why = f"pack {pack} requires {n} of the group `{group}`, which the directory of `{tenant}` has not. {hint}"
        yield Risk(_POLICY, why)
    wanted = {(tenant, group) for tenant, _, group, _ in unfilled(loaded.directories, packs)}
    for tenant, directory in loaded.directories.items():
        for group in sorted(directory.group_names):
            if not directory.can_seat(group, 1) and (tenant, group) not in wanted:
                yield Risk(("directory", "tenants", tenant), f"nobody active is in the group `{group}`")


def unfilled(directories: Mapping[str, Directory], packs: tuple[Pack, ...]) -> Iterator[tuple[str, str, str, int]]:
    """Tenant, pack, group and number of the seats that a tenant's directory could not fill."""
    for tenant, directory in directories.items():
        for pack in packs:
            yield from ((tenant, pack.name, group, n) for group, n in pack.seats if not directory.can_seat(group, n))


def grant_problems(loaded: Loaded, at_ns: int) -> Iterator[str]:
    """Grants of policy that lead nowhere: to a group whose name is a slip of another's, or that have ended."""
    org = json.loads(loaded.bundle.org) if loaded.bundle is not None else {}
    listed = {group for directory in loaded.directories.values() for group in directory.group_names}
    places = {
        name.name: f"{name.path}:{name.line}"
        for named in loaded.naming
        for name in named.names
        if name.kind == "group"
    }
    places |= {group: "data.org.roles" for role in org.get("roles", ()) for group in role["groups"]}
    places |= {grant["group"]: "data.org.temporary_grants" for grant in org.get("temporary_grants", ())}
    for group in sorted(places.keys() - listed):
        for other in sorted(name for name in listed | places.keys() if slip(group, name)):
            if other in listed or group < other:
                yield f"{places[group]}: the group `{group}` may be a slip: there is `{other}` as well"
    for grant in org.get("temporary_grants", ()):
        if grant["until_ns"] <= at_ns:
            when = datetime.fromtimestamp(grant["until_ns"] // NS, UTC).date().isoformat()
            of = f"`{grant['group']}` on `{grant['server']}`"
            yield f"data.org.temporary_grants: the grant to {of} ended on {when}; take it out"


def _judge(settings: Settings, loaded: Loaded, packs: tuple[Pack, ...]) -> Iterator[Risk]:
    """Policies that require a judge where none is configured. The baseline requires one only by the organisation's
    data."""
    if settings.judge is not None:
        return
    org = json.loads(loaded.bundle.org) if loaded.bundle is not None else {}
    asked = org.get("profile") == "balanced" or any(value != "none" for value in org.get("judge", {}).values())
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
