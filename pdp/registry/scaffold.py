"""Review template of a pinned server: the YAML that `pdp tools pin --review` reads.

A tool that was reviewed has its values; every other has them as comments, the worst ones, and counts as not reviewed
until a reviewer removes the `#`. Text of the server is cut, on one line, and shows what cannot be seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pdp.core.call.methods import PINNED_KINDS
from pdp.core.check import WORST_COUNT
from pdp.core.errors import RegistryFault
from pdp.core.text.injection.excerpt import visible
from pdp.registry.diff import Version
from pdp.registry.documents import ToolEntry
from pdp.registry.manifest import InterpreterKind, Manifest, Risk, SinkKind
from pdp.registry.pin import REVIEWED, UNREVIEWED

_WIDTH = 100
_HEAD = """\
# The review of server {server}. Read each definition (`manifests/`), then say what holds of the tool; take the `#`
# away from what you say. What is left out keeps its worst value. Then: pdp tools pin ... --review THIS_FILE
reviewed_by: {reviewed_by}
"""
_CHOICES = {
    "risk": ", ".join(get_args(Risk)),
    "permissions": "scopes that the subject's token must have; [] for none",
    "labels": "what its results put on a session; [] for nothing",
    "sinks": f"where arguments go: {{kind: {'|'.join(get_args(SinkKind))}, argument: /pointer}}",
    "interpreters": f"what reads them: {{kind: {'|'.join(get_args(InterpreterKind))}, argument: /pointer}}",
    "effects": "what it may do besides: {kind: network.connect, object: host, *.suffix or *}; [] for nothing",
    "downstream": "the service behind it that takes tokens of its own: {audience, scopes}",
    "annotations": "read_only, destructive, idempotent, open_world",
    "cost": "what one call counts",
}


# what a name of an argument says about what reads it: a suggestion for the reviewer, never more
_READ_BY: Mapping[InterpreterKind, frozenset[str]] = {
    "shell": frozenset({"command", "cmd", "shell", "bash"}),
    "sql": frozenset({"sql", "statement"}),
    "path": frozenset({"path", "paths", "file", "filename", "file_path", "directory", "folder"}),
    "url": frozenset({"url", "urls", "uri", "webhook", "endpoint"}),
    "html": frozenset({"html", "html_body"}),
    "markdown": frozenset({"markdown", "body", "comment"}),
    "email": frozenset({"to", "cc", "bcc", "email", "emails", "recipient", "recipients", "reply_to"}),
    "email_header": frozenset({"subject"}),
    "code": frozenset({"code", "script", "expression", "formula", "python", "javascript"}),
    "code_value": frozenset({"template"}),
}


def scaffold(version: Version, server: str) -> str:
    """The review of one server. Raises RegistryFault `registry.unknown_server`, and `tool.corrupt` for a manifest
    that cannot be read."""
    if version.draft is None or server not in version.servers():
        servers = ", ".join(sorted(version.servers())) or "none"
        raise RegistryFault("registry.unknown_server", f"server: is not in the set; it has {servers}")
    entries = [entry for entry in version.draft.tools if entry.server == server]
    manifests = [(entry, _manifest(version, entry)) for entry in entries]
    reviewers = [manifest.reviewed_by for _, manifest in manifests if manifest.reviewed_by]
    head = _HEAD.format(server=server, reviewed_by=_yaml(reviewers[0]) if reviewers else "null   # you")
    owner = version.servers()[server].owner
    lines = []
    for kind in PINNED_KINDS:
        of_kind = [(entry, manifest) for entry, manifest in manifests if entry.target_kind == kind]
        lines += [f"{kind}s:"] if of_kind or kind == "tool" else []
        lines += [line for entry, manifest in of_kind for line in _tool(entry, manifest, owner)]
    return head + "".join(f"{line}\n" for line in lines)


def _manifest(version: Version, entry: ToolEntry) -> Manifest:
    manifest = version.manifest(entry)
    if manifest is None:
        raise RegistryFault("tool.corrupt", f"{entry.server}/{entry.label}: its manifest cannot be read; pin again")
    return manifest


def _tool(entry: ToolEntry, manifest: Manifest, owner: str) -> Iterator[str]:
    reviewed = manifest.version != UNREVIEWED
    yield ""
    for note in _notes(manifest):
        yield f"  # {note}"
    yield f"  {_yaml(manifest.name)}:"
    for key, value in _values(entry, manifest, owner).items():
        choices = f"   # {_CHOICES[key]}" if key in _CHOICES else ""
        yield f"    {'' if reviewed else '# '}{key}: {_yaml(value)}{choices}"


def _notes(manifest: Manifest) -> Iterator[str]:
    description = str(manifest.definition.get("description") or manifest.definition.get("title") or "")
    if description:
        shown = visible(description)
        yield shown if len(shown) <= _WIDTH else f"{shown[:_WIDTH]}…"
    properties = manifest.input_schema.get("properties")
    names = sorted(properties) if isinstance(properties, Mapping) else []
    yield f"arguments: {visible(', '.join(names))[:_WIDTH] or 'none that are declared'}"


def _values(entry: ToolEntry, manifest: Manifest, owner: str) -> dict[str, Any]:
    fields = manifest.model_dump(mode="json", exclude_none=True)
    keys = ["risk", "permissions", "labels", "sinks", "annotations", "definition_check", "cost", "version", "owner"]
    keys += [name for name in ("binds", "interpreters", "effects", "downstream") if fields.get(name) is not None]
    if manifest.version == UNREVIEWED and (suggested := _suggested(manifest)):
        fields.setdefault("interpreters", suggested)
        keys += [] if "interpreters" in keys else ["interpreters"]
    left_out = {"cost": WORST_COUNT, "version": REVIEWED, "owner": owner}  # what it comes to where nothing is said
    if manifest.version == UNREVIEWED:
        left_out["version"] = UNREVIEWED
    values = {key: fields[key] for key in keys if fields[key] != left_out.get(key)}
    return values if entry.state == "active" else {**values, "state": entry.state}


def _suggested(manifest: Manifest) -> list[dict[str, str]]:
    """Interpreters by the names of arguments."""
    properties = manifest.input_schema.get("properties")
    return [
        {"kind": kind, "argument": f"/{name}"}
        for name in (properties if isinstance(properties, Mapping) else ())
        for kind, names in _READ_BY.items()
        if name.lower() in names
    ]


def _yaml(value: Any) -> str:
    """One value on one line: JSON is YAML."""
    return json.dumps(value, ensure_ascii=True)
