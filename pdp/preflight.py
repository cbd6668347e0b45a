"""What a start would need, tried without starting: nothing is written, bound, recorded or served.

`pdp config check` runs it. It reads the files that the configuration names, asks Vault where secrets are there, and
puts the policy through the load gate. It does not fetch keys from URLs, and does not contact a running OPA.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pdp import instruments, judges, people
from pdp.adapters.grpc.address import UnixAddress, addresses
from pdp.adapters.grpc.server import credentials
from pdp.core.errors import ConfigurationFault, Fault
from pdp.engines import gate
from pdp.engines.bundle import read_bundle, shipped_rego
from pdp.engines.opa_boot import check
from pdp.engines.regorus_binding import version
from pdp.identity.component import Identity
from pdp.judge.options import key_text
from pdp.registry.load import SignedRegistry
from pdp.settings import Settings
from pdp.store.options import Place
from pdp.telemetry.options import beyond_this_machine
from pdp.tooling.config_secrets import secret


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a start would fail. `code` and `message` as a Fault has them."""

    code: str
    message: str


def problems(settings: Settings, at_ns: int) -> list[Problem]:
    """Everything that would keep a process with these settings from starting, or from having a tool to allow.

    `at_ns` is the instant (Unix time, nanoseconds) at which signatures are looked at. Blocks for seconds.
    """
    found = []
    for attempt in (
        _server,
        _index_key,
        _opa_token,
        _identity,
        _policy,
        _engine,
        _store,
        _judge,
        people.channels,
        instruments.check,
    ):
        found += _tried(attempt, settings)
    return found + _tried(lambda s: asyncio.run(_registry(s, at_ns)), settings)


def _tried(attempt: Callable[[Settings], object], settings: Settings) -> list[Problem]:
    try:
        attempt(settings)
    except Fault as fault:
        return [Problem(fault.code, fault.message)]
    return []


def _server(settings: Settings) -> None:
    for address in addresses(settings.server):
        if isinstance(address, UnixAddress) and not address.path.parent.is_dir():
            raise ConfigurationFault("config.listen", "server.listen: the folder of the Unix socket does not exist.")
    if settings.server.tls is not None:
        credentials(settings.server.tls)


def _index_key(settings: Settings) -> None:
    if settings.service.index_key:
        secret(settings.service.index_key, settings.vault, where="service.index_key")
    elif settings.production or settings.store.url is not None:
        raise ConfigurationFault(
            "config.secret",
            "service.index_key: mandatory in production and with store.url; give file:PATH "
            "(openssl rand -hex 32 > PATH).",
        )


def _opa_token(settings: Settings) -> None:
    opa = settings.policy.opa
    if opa is not None and opa.token:
        secret(opa.token, settings.vault, where="policy.opa.token")


def _identity(settings: Settings) -> None:
    Identity(settings.identity, production=settings.production)


def _policy(settings: Settings) -> None:
    bundle = read_bundle(shipped_rego(), settings.policy.folder)
    report = gate.check(bundle)
    if not report.ok:
        first = next(f for f in report.findings if f.severity == gate.ERROR)
        where = f"{first.path}:{first.line}: " if first.path else ""
        raise ConfigurationFault(
            "bundle.gate", f"policy: {where}{first.message} `pdp policy check FOLDER` shows everything."
        )


def _engine(settings: Settings) -> None:
    opa = settings.policy.opa
    if opa is None:
        version()
    elif opa.binary is not None:
        check(opa.binary)
    elif opa.ca_file is not None and not opa.ca_file.is_file():
        raise ConfigurationFault("config.invalid", "policy.opa.ca_file: cannot be read.")


async def _registry(settings: Settings, at_ns: int) -> None:
    """A registry that does not verify keeps no process from starting, but then nothing can be allowed."""
    registry = SignedRegistry(settings.registry, high_water=lambda _: 0)
    for change in await registry.reload(at_ns):
        if change.problem:
            raise ConfigurationFault(
                change.problem, f"registry.sets.{change.tenant}: does not verify; `pdp tools verify` says why."
            )


def _judge(settings: Settings) -> None:
    """Here the key is read, and forgotten with this command; `pdp serve` never reads it."""
    judges.check(settings)
    options = settings.judge
    if options is None:
        return
    if options.api_key and options.socket is None:
        key_text(secret(options.api_key, settings.vault, where="judge.api_key", at_least=1))
    if options.ca_file is not None and not options.ca_file.is_file():
        raise ConfigurationFault("judge.ca_file", "judge.ca_file: cannot be read.")


def _store(settings: Settings) -> None:
    if settings.store.url is not None:
        if settings.store.password:
            secret(settings.store.password, settings.vault, where="store.password", at_least=1)
        if settings.store.ca_file is not None and not settings.store.ca_file.is_file():
            raise ConfigurationFault("store.ca_file", "store.ca_file: cannot be read.")
        return
    path = settings.store.path
    place = path if path.exists() else next(parent for parent in path.parents if parent.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise ConfigurationFault("store.path", "store.path: cannot be used as a directory by this user.")
    if path.exists() and path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationFault("store.permissions", "store.path: others may write to it; run chmod go-w on it.")


@dataclass(frozen=True, slots=True)
class Risk:
    """A choice that is allowed and loosens something."""

    path: str
    message: str


_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def risks(settings: Settings) -> list[Risk]:
    """Choices that somebody should have made on purpose."""
    return [*_risks_of_process(settings), *_risks_of_callers(settings), *_risks_of_issuers(settings)]


def _risks_of_process(settings: Settings) -> Iterator[Risk]:
    tls, opa, vault, told = settings.server.tls, settings.policy.opa, settings.vault, settings.telemetry
    judge = settings.judge
    plain = "plain http; whatever runs on this machine may listen there"
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
        (not settings.registry.sets, "registry.sets", "empty: every server is unknown, every call is denied"),
        (
            settings.registry.max_stale_seconds > _DAY,
            "registry.max_stale_seconds",
            "a withdrawal may take more than a day to be noticed",
        ),
        (opa is not None and opa.url.startswith("http:"), "policy.opa.url", plain),
        (vault is not None and vault.url.startswith("http:"), "vault.url", plain),
        (
            judge is not None and judge.plain_http,
            "judge.plain_http",
            "true: whoever is on the way to the endpoint reads what the judge is shown, and writes its verdicts",
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
            and not Place.read(settings.store.url).socket,
            "store.tls",
            "off: whoever is on the way to the database reads and changes records",
        ),
    )
    yield from (Risk(path, why) for holds, path, why in looser if holds)


def _risks_of_callers(settings: Settings) -> Iterator[Risk]:
    for name, caller in settings.identity.callers.items():
        path = f"identity.callers.{name}"
        roles = {str(role) for role in caller.roles}
        if "*" in caller.servers:
            yield Risk(f"{path}.servers", '"*": it may ask about every server of its tenant')
        if caller.tenant == "*":
            yield Risk(f"{path}.tenant", '"*": it acts for every tenant')
        if "decide" in roles and roles & {"explain", "approve", "operate"}:
            other = ", ".join(sorted(roles & {"explain", "approve", "operate"}))
            yield Risk(f"{path}.roles", f"decide together with {other}: who asks should not also be told or rule")
        if caller.may_assert.claims:
            yield Risk(f"{path}.may_assert.claims", "it may say who the subject is, without a token")
        if caller.may_assert.groups:
            yield Risk(f"{path}.may_assert.groups", "it may say which groups a subject is in, and groups grant")


def _risks_of_issuers(settings: Settings) -> Iterator[Risk]:
    for i, issuer in enumerate(settings.identity.issuers):
        path = f"identity.issuers.{i}"
        if issuer.development:
            yield Risk(f"{path}.development", "its private key lies beside its public one")
        if issuer.jwks_url is not None and issuer.jwks_url.startswith("http:"):
            yield Risk(f"{path}.jwks_url", "plain http; whatever runs on this machine may listen there")
        if issuer.max_lifetime_seconds > _DAY:
            yield Risk(f"{path}.max_lifetime_seconds", "a stolen token is good for more than a day")
        elif issuer.max_lifetime_seconds > _HOUR and settings.identity.revoked_jti_file is None:
            yield Risk(f"{path}.max_lifetime_seconds", "tokens live for more than an hour and none can be revoked")
        if issuer.max_stale_seconds > _DAY:
            yield Risk(f"{path}.max_stale_seconds", "a withdrawn key is accepted for more than a day")
        if issuer.subject_kind.otherwise == "human":
            yield Risk(f"{path}.subject_kind.otherwise", "whatever its tokens do not mark counts as a person")
