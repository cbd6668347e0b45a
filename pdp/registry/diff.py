"""Differences between two versions of a registry, in words, the worst first. Signatures are not checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pdp.core.errors import RegistryFault
from pdp.registry import documents, dsse, files
from pdp.registry.change_summary import SEVERITIES, Change, Difference, acts, quoted, tool_changes
from pdp.registry.documents import ServerEntry, SetIndex, ToolEntry
from pdp.registry.draft import Draft, load_draft, load_envelope, of_index, write_file
from pdp.registry.manifest import Manifest
from pdp.registry.sign import load_manifest

BEFORE_FILE = "set.before.dsse.json"
"""The set that was signed before the one at hand, kept so that a reviewer, who signs second, sees the difference."""

_FULLY_SIGNED = 2
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Version:
    """A set without dates, and the folder that its manifests lie in. `draft` is None: there is nothing yet."""

    draft: Draft | None
    folder: Path

    def servers(self) -> Mapping[str, ServerEntry]:
        return {s.id: s for s in self.draft.servers} if self.draft else {}

    def tools(self) -> Mapping[tuple[str, str], ToolEntry]:
        return {(t.server, t.label): t for t in self.draft.tools} if self.draft else {}

    def manifest(self, entry: ToolEntry) -> Manifest | None:
        """None when it cannot be read."""
        try:
            return load_manifest(self.folder, entry, self.draft.tenant if self.draft else "")
        except RegistryFault:
            return None


def signed_version(folder: Path, name: str = files.SET_FILE) -> Version:
    """The set signed in `folder`, fully or partly. Raises RegistryFault for a file that is no set."""
    envelope = load_envelope(folder, name)
    index = documents.decode(envelope.payload, SetIndex, "set") if envelope is not None else None
    return Version(of_index(index) if index is not None else None, folder)


def newest_version(folder: Path) -> Version:
    """The draft, if it is newer than what is signed; else that."""
    signed, draft = signed_version(folder), load_draft(folder)
    if draft is None or (signed.draft is not None and draft.serial < signed.draft.serial):
        return signed
    return Version(draft, folder)


def version_before(folder: Path) -> Version:
    """The version to compare the newest one with: the signed one, or its predecessor if that is the newest."""
    signed = signed_version(folder)
    if signed.draft is not None and newest_version(folder).draft == signed.draft:
        return signed_version(folder, BEFORE_FILE)
    return signed


def orphans(folder: Path) -> tuple[Path, ...]:
    """Manifests that nothing needs: neither what is signed, nor the draft, nor what was signed before. Raises
    RegistryFault when that cannot be told."""
    versions = (signed_version(folder), Version(load_draft(folder), folder), signed_version(folder, BEFORE_FILE))
    needed = {entry.manifest_sha256 for version in versions for entry in version.tools().values()}
    lying = sorted((folder / files.MANIFESTS).glob("*.json"))
    return tuple(path for path in lying if _DIGEST.fullmatch(path.stem) and path.stem not in needed)


def keep_before(folder: Path) -> None:
    """Keep what is fully signed now; call it before the first signature under something new replaces it."""
    envelope = load_envelope(folder, files.SET_FILE)
    if envelope is not None and len(envelope.signatures) >= _FULLY_SIGNED:
        write_file(folder / BEFORE_FILE, dsse.encode(envelope))


def compare(old: Version, new: Version) -> tuple[Change, ...]:
    """All differences, the worst first. Raises RegistryFault when they are of two tenants."""
    if old.draft is not None and new.draft is not None and old.draft.tenant != new.draft.tenant:
        raise RegistryFault("registry.wrong_tenant", "These are sets of two tenants; compare those of one.")
    changes = [*_servers(old, new), *_tools(old, new)]
    return tuple(sorted(changes, key=lambda c: (SEVERITIES.index(c.severity), c.where)))


def _servers(old: Version, new: Version) -> Iterator[Change]:
    before, after = old.servers(), new.servers()
    for name in sorted(set(before) | set(after)):
        a, b = before.get(name), after.get(name)
        for severity, what in _server(a, b):
            yield Change(severity, name, what)


def _server(old: ServerEntry | None, new: ServerEntry | None) -> Iterator[Difference]:
    if new is None:
        yield "note", "server removed"
    elif old is None:
        yield "attention", f"new server, for tokens with audience {quoted(new.resource)}"
    else:
        if old.resource != new.resource:
            yield "danger", f"audience of its tokens changed from {quoted(old.resource)} to {quoted(new.resource)}"
        if old.peer != new.peer:
            a, b = old.peer, new.peer
            if b is None:
                yield "danger", f"need not prove itself as {quoted(a or '')} any more"
            else:
                yield (
                    "danger" if a else "note",
                    f"must prove itself as {quoted(b)}" + (f", not {quoted(a)}" if a else ""),
                )
        if old.owner != new.owner:
            yield "note", f"owner changed from {quoted(old.owner)} to {quoted(new.owner)}"


def _tools(old: Version, new: Version) -> Iterator[Change]:
    before, after = old.tools(), new.tools()
    for key in sorted(set(before) | set(after)):
        for severity, what in _tool(old, new, before.get(key), after.get(key)):
            yield Change(severity, "/".join(key), what)


def _tool(old: Version, new: Version, was: ToolEntry | None, now: ToolEntry | None) -> Iterator[Difference]:
    if now is None:
        yield "note", "removed"
        return
    after = new.manifest(now)
    if was is None:
        summary = f"{acts(after)}; risk {after.risk}" if after is not None else "its manifest cannot be read"
        yield "danger" if now.state == "active" else "note", f"new {now.target_kind}{_state(now)}: {summary}"
        return
    if was.state != now.state:
        words = {"active": "may be used again", "withdrawn": "withdrawn", "quarantined": "quarantined"}
        yield "danger" if now.state == "active" else "note", words[now.state]
    if was.manifest_sha256 == now.manifest_sha256:
        return
    before = old.manifest(was)
    if before is None or after is None:
        yield "danger", "changed, and a manifest cannot be read to say how"
        return
    said_any = False
    for item in tool_changes(before, after):
        said_any = True
        yield item
    if not said_any:
        yield "note", "pinned again"


def _state(entry: ToolEntry) -> str:
    return "" if entry.state == "active" else f" ({entry.state})"
