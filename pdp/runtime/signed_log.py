"""Wiring of what follows the log: the signed log (key, folder, publisher, listener), the search index,
pushes, and what is seen for the first time."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.core.call.registered import Interpreter
from pdp.core.check import NS
from pdp.core.errors import ConfigurationFault, Fault, NotFound, Unavailable
from pdp.core.ports import Clock, Entropy, Store
from pdp.core.ports.telemetry import Telemetry
from pdp.decide.commit import Recorder
from pdp.decide.state import ServiceState
from pdp.host.durable import make_secret
from pdp.host.part import Part
from pdp.host.renewed_files import RenewedFiles, Take
from pdp.operate.quorum import QuorumRecords
from pdp.proof import merkle
from pdp.proof.archive import ArchiveFolder
from pdp.proof.cosignature import WitnessPolicy
from pdp.proof.cosigners import Cosigners
from pdp.proof.first_seen import AT_ONCE, HISTORY, KINDS, NAME, FirstSeen
from pdp.proof.index import SearchIndex
from pdp.proof.note import Checkpoint, LogKey, read_private, sign, split
from pdp.proof.options import AuditOptions, ReceiverOptions
from pdp.proof.publisher import Publisher, RolledBack
from pdp.proof.pushes import Push, Pushes
from pdp.proof.receivers import Receiver, Selection, receiver
from pdp.proof.tiles import LogFolder
from pdp.runtime.config.settings import Settings
from pdp.runtime.secrets.reference import FILE, secret

if TYPE_CHECKING:
    from pdp.host.log_files import LogFiles

log = logging.getLogger("pdp.log")

PART = "log_key"  # of what is in force in the store: the verifier key
RECORD = "log_key_record"  # likewise: the index of the record that says so, "" of the log's first key


@dataclass(frozen=True, slots=True)
class WiredLog:
    """The signed log of a process. `files` is None where nothing is served."""

    publisher: Publisher
    files: LogFiles | None
    store: Store

    def parts(self, settings: Settings, recorder: Recorder, clock: Clock) -> Iterator[Part]:
        """What a running process does with it, besides publishing it."""
        key = renewed_key(settings, self, self.store, recorder, clock)
        level = partial(self._level, clock.now_ns())
        yield Part("signed log", level=level, renews=() if key is None else (key,))
        yield QuorumRecords(self.publisher, self.store, recorder, clock, settings.audit.witness_seconds * NS).part
        if self.files is not None:
            yield self.files.part

    def _level(self, began_ns: int, telemetry: Telemetry, at_ns: int) -> None:
        size, covered, signed_ns = self.store.size(), 0, began_ns
        with suppress(NotFound):
            head = self.publisher.latest()
            covered, signed_ns = head.size, head.at_ns
        telemetry.level("pdp.log.behind", max(0, size - covered))
        telemetry.level("pdp.log.age", max(0, at_ns - signed_ns) / NS if size > covered else 0)
        cosigning = self.publisher.cosigning
        missing_ns = cosigning.missing_ns if cosigning is not None else 0
        telemetry.level("pdp.log.uncosigned", max(0, at_ns - missing_ns) / NS if missing_ns else 0)

    async def run(self, faults: list[Fault], stop: asyncio.Event) -> None:
        """Publish the log; a store that a witness knows more of is served no longer."""
        try:
            await self.publisher.run()
        except RolledBack as fault:
            faults.append(fault)
            stop.set()
        await asyncio.Event().wait()  # it has said why, and that only a restart signs again: answers go on


def check(settings: Settings) -> None:
    """Read the configured key, and open nothing. Raises ConfigurationFault."""
    if settings.audit.key:
        _key(settings, settings.audit.key)
    _cosigners(settings.audit)


def _key(settings: Settings, reference: str) -> Ed25519PrivateKey:
    return read_private(secret(reference, settings.vault, where="audit.key"))


def signed_log(settings: Settings, store: Store) -> WiredLog | None:
    """The publisher, not yet running; None without a key, which is said. Archived records of the store are read where
    the settings say. Raises ConfigurationFault."""
    archive = settings.audit.archive
    if archive is not None:
        store.read_archive(ArchiveFolder(archive).record)
    options = _options(settings)
    if options is None or options.folder is None:
        log.warning("no signed log: audit.key and audit.folder are not set, so nobody can prove records from outside")
        return None
    publisher = Publisher(
        store, LogFolder(options.folder), _key(settings, options.key), cosigners=_cosigners(options)
    )
    files = None
    if options.listen:
        from pdp.host.log_files import LogFiles  # noqa: PLC0415 - an HTTP server, and only where it is served

        files = LogFiles(options.listen, options.folder, archive)
    return WiredLog(publisher, files, store)


def _cosigners(options: AuditOptions) -> Cosigners | None:
    """The witnesses of the configuration. Raises ConfigurationFault `log.policy`, `log.key`, `config.ca_file`."""
    if options.witnesses is None:
        return None
    try:
        tls = ssl.create_default_context(cafile=options.witness_ca_file)
    except (OSError, ssl.SSLError):
        raise ConfigurationFault("config.ca_file", "audit.witness_ca_file: is not a readable PEM bundle") from None
    return Cosigners(WitnessPolicy.load(options.witnesses), options.witness_seconds, tls)


async def sizes_seen(settings: Settings, origin: str) -> Mapping[str, int | None]:
    """How many records of a log the last checkpoint in `audit.folder` covers, and each witness has seen, by name;
    None for one that does not answer. Empty where nothing is signed, or nobody could know. Raises ConfigurationFault,
    NoteFault, OSError."""
    options = _options(settings)
    if options is None or options.folder is None:
        return {}
    note = await asyncio.to_thread(LogFolder(options.folder).checkpoint)
    seen: dict[str, int | None] = {"audit.folder": Checkpoint.read(split(note)[0]).size} if note else {}
    cosigners = _cosigners(options)
    if cosigners is None:
        return seen
    told = await cosigners.sizes(sign(Checkpoint(origin, 0, merkle.EMPTY), _key(settings, options.key)))
    return seen | {each.name: told.get(each.name) for each in cosigners.policy.witnesses}


def search_index(settings: Settings, store: Store, index_key: bytes) -> SearchIndex | None:
    """The index, not yet running; None where there is no place for it, which is said. Raises ConfigurationFault."""
    folder = settings.audit.index or (settings.store.path if settings.store.url is None else None)
    if folder is None:
        log.warning("no search: audit.index is not set, so nobody can search records")
        return None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationFault("audit.index", f"audit.index: cannot be made ({error.strerror}).") from None
    return SearchIndex(store, folder, index_key)


def pushes(
    settings: Settings,
    store: Store,
    clock: Clock,
    entropy: Entropy,
    telemetry: Telemetry,
    first_seen: FirstSeen,
) -> Pushes:
    """A cursor for each receiver, none of them moving yet, and for what is seen for the first time. Raises
    ConfigurationFault."""
    configured = (
        Push(
            name,
            receiver_of(settings, name, options),
            Selection(frozenset(options.tenants), frozenset(options.kinds)),
            store,
            clock,
            entropy,
            options.max_records,
            0 if options.from_start else store.size(),
            telemetry,
        )
        for name, options in settings.audit.push.items()
    )
    begin = max(store.archived(), first_seen.begin - HISTORY, 0)
    own = Push(NAME, first_seen, Selection(kinds=KINDS), store, clock, entropy, AT_ONCE, begin, telemetry)
    return Pushes((*configured, own))


def first_seen(state: ServiceState, store: Store, index_key: bytes, telemetry: Telemetry) -> FirstSeen:
    """What tells of names that are new, by the manifests that are loaded now."""

    def interpreters(tenant: str, server: str, name: str, kind: str) -> tuple[Interpreter, ...]:
        tool = state.snapshot().registry.pinned(tenant, server, name, kind)
        return () if tool is None else tool.interpreters

    return FirstSeen(store, index_key, interpreters, store.size(), telemetry)


def receiver_of(settings: Settings, name: str, options: ReceiverOptions) -> Receiver[bytes]:
    """One of the configured receivers. Raises ConfigurationFault that names the setting."""
    where = f"audit.push.{name}"

    def found(reference: str, key: str) -> bytes:
        return secret(reference, settings.vault, where=f"{where}.{key}", at_least=1)

    return receiver(options, found, where)


async def record_key(key: LogKey, store: Store, recorder: Recorder, at_ns: int) -> int | None:
    """Record that another key signs from here on; the first key is in force without a record. Returns the record's
    index, also where another process of the store wrote it."""
    now, known = key.text(), store.in_force()
    before = known.get((PART, ""), "")
    if now == before:
        index = known.get((RECORD, ""), "")
        return int(index) if index else None
    ref = await recorder.log_key(now, before, at_ns) if before else None
    await store.put_in_force({(PART, ""): now, (RECORD, ""): "" if ref is None else str(ref.index)})
    return None if ref is None else ref.index


def renewed_key(
    settings: Settings, wired: WiredLog, store: Store, recorder: Recorder, clock: Clock
) -> RenewedFiles | None:
    """The log's key, which may be replaced while the process runs; None where it is in no file."""
    options = _options(settings)
    if options is None or options.key is None or not options.key.startswith(FILE):
        return None
    reference = options.key

    def prepare() -> Take:
        key = _key(settings, reference)

        async def take() -> None:
            following = LogKey(store.origin, key.public_key())
            if following.text() != wired.publisher.verifier.text():
                index = await record_key(following, store, recorder, clock.now_ns())
                try:
                    await wired.publisher.renew(key, index)
                except OSError:
                    raise Unavailable("log.folder", "audit.folder: cannot be written; the former key signs") from None

        return take

    return RenewedFiles("audit.key", (Path(reference.removeprefix(FILE)),), prepare)


def _options(settings: Settings) -> AuditOptions | None:
    """The configured ones; in development, where a store is a folder, tiles and a key that is made beside it."""
    options = settings.audit
    if options.key:
        return options
    if settings.production or settings.store.url is not None:
        return None
    path = settings.store.path / "log.pem"
    _make(path)
    folder = options.folder or settings.store.path / "log"
    return options.model_copy(update={"key": f"file:{path}", "folder": folder})


def _make(path: Path) -> None:
    """A key of development, unless there is one."""
    data = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        if not path.exists():
            make_secret(path, data)
    except OSError as error:
        raise ConfigurationFault("config.secret", f"audit.key: cannot be made ({error.strerror}).") from None
