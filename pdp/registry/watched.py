"""Taking up what watchers wrote: verify, never go back in time, and say what is wrong. Runs in a thread."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pdp.core.check import NS
from pdp.core.digest import Json
from pdp.core.errors import ConfigurationFault, RegistryFault
from pdp.registry.keys import SignerKey, read_public
from pdp.registry.observation import MAX_BYTES, SKEW_NS, Sighting, Sightings, file_of, unseal
from pdp.registry.options import RegistryOptions

_MAX_FILE = 2 * MAX_BYTES  # base64 takes a third more


@dataclass(slots=True)
class _Seen:
    """One watcher's view of one server: the last file that was taken up."""

    raw: bytes = b""
    sighting: Sighting | None = None
    problem: str = "watch.missing"


@dataclass(slots=True)
class _Watcher:
    id: str
    tenant: str
    folder: Path
    key: SignerKey
    servers: dict[str, _Seen] = field(default_factory=dict)

    def refresh(self, servers: Iterable[str], at_ns: int) -> None:
        self.servers = {name: self.servers.get(name) or _Seen() for name in servers}
        for name, seen in self.servers.items():
            try:
                self._take(name, seen, at_ns)
                seen.problem = ""
            except RegistryFault as fault:
                seen.problem = fault.code  # what was seen before counts until it is too old

    def _take(self, server: str, seen: _Seen, at_ns: int) -> None:
        raw = _read(self.folder / file_of(server))
        if raw == seen.raw and seen.sighting is not None:
            return
        found = unseal(raw, self.key)
        if (found.tenant, found.server) != (self.tenant, server):
            raise RegistryFault("watch.wrong_server", "the sighting is of another server or tenant")
        if found.seen_ns > at_ns + SKEW_NS:
            raise RegistryFault("watch.future", "the sighting lies in the future; check the watcher's clock")
        if seen.sighting is not None and found.seen_ns < seen.sighting.seen_ns:
            raise RegistryFault("watch.rollback", "the sighting is older than one that was taken up before")
        seen.raw, seen.sighting = raw, found


class Watched:
    """The configured watchers and what each last saw of the servers that have `watched` tools."""

    def __init__(self, options: RegistryOptions) -> None:
        """Raises ConfigurationFault for a key that cannot be read, or that signs sets as well."""
        self._max_age_ns = options.watch_max_age_seconds * NS
        self._watchers = [_Watcher(w.id, w.tenant, w.folder, _key(w.id, w.public_key_file)) for w in options.watchers]
        _distinct(options, [w.key for w in self._watchers])

    def refresh(self, servers: Mapping[str, Iterable[str]], at_ns: int) -> Sightings:
        """Read again. `servers` names, by tenant, those that have `watched` tools. Never raises."""
        last: dict[tuple[str, str], tuple[Sighting, ...]] = {}
        for watcher in self._watchers:
            watcher.refresh(servers.get(watcher.tenant, ()), at_ns)
            for name, seen in watcher.servers.items():
                if seen.sighting is not None:
                    key = (watcher.tenant, name)
                    last[key] = (*last.get(key, ()), seen.sighting)
        return Sightings(self._max_age_ns, last)

    def status(self, tenant: str, at_ns: int) -> dict[str, Json]:
        """By watcher and server: age in seconds of the last sighting (null: none), and the code of what is wrong."""
        return {
            w.id: {
                name: {
                    "age_seconds": None if seen.sighting is None else max(0, at_ns - seen.sighting.seen_ns) // NS,
                    "problem": seen.problem,
                }
                for name, seen in w.servers.items()
            }
            for w in self._watchers
            if w.tenant == tenant
        }


def _key(name: str, path: Path) -> SignerKey:
    return SignerKey(name, "watcher", read_public(path, f"registry.watchers[{name}]"))


def _distinct(options: RegistryOptions, keys: list[SignerKey]) -> None:
    """A watcher runs by itself, with its key at hand, so its key must not be one that makes tools usable."""
    signing = {read_public(k.public_key_file, f"registry.keys[{k.id}]").public_bytes_raw() for k in options.keys}
    raws = [key.raw for key in keys]
    if len(set(raws)) != len(raws) or signing & set(raws):
        raise ConfigurationFault(
            "registry.key_twice",
            "registry.watchers: a watcher's key is another's as well; `pdp tools keygen` makes one of its own",
        )


def _read(path: Path) -> bytes:
    """The watcher's user may own the file and is not believed: no link is followed, nothing is waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise RegistryFault("watch.unreadable", "the sighting is no regular file")
            data = file.read(_MAX_FILE + 1)
    except FileNotFoundError:
        raise RegistryFault("watch.missing", "there is no sighting") from None
    except OSError as error:
        raise RegistryFault("watch.unreadable", "the sighting cannot be read", detail=repr(error)) from None
    if len(data) > _MAX_FILE:
        raise RegistryFault("watch.malformed", f"the sighting is larger than {_MAX_FILE} bytes")
    return data
