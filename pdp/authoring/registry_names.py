"""Policy against the registry: what packs name and no manifest has, and arguments that a rule leaves out.

A rule about a tool or an argument that does not exist is silent, and a rule about `path` is silent about `paths`.
Nothing here keeps a policy from becoming active: a pack may be written before its server is pinned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pdp.core.digest import Json
from pdp.core.errors import RegistryFault
from pdp.core.names import did_you_mean
from pdp.policy.gate import WARNING, Finding, Name, Naming
from pdp.ports import RegistryView
from pdp.registry.draft import latest
from pdp.registry.sign import load_manifest

_GRANTS = frozenset({"meta", "allow"})  # bounded by the servers of `meta`


@dataclass(frozen=True, slots=True)
class Tool:
    """A pinned tool and its arguments."""

    server: str
    name: str
    arguments: frozenset[str]


@dataclass(frozen=True, slots=True)
class Known:
    """What one or several tenants' sets have."""

    servers: frozenset[str]
    tools: tuple[Tool, ...]


def of_folders(folders: Iterable[Path]) -> Known:
    """Tenants' folders; of each the draft, if it is newer than what is signed. Signatures are not looked at. Raises
    RegistryFault, `registry.missing` for a folder with neither."""
    servers: set[str] = set()
    tools: list[Tool] = []
    for folder in folders:
        draft = latest(folder)
        if draft is None:
            raise RegistryFault("registry.missing", f"{folder.name}: holds no set; give a tenant's folder.")
        servers |= {server.id for server in draft.servers}
        manifests = [load_manifest(folder, entry, draft.tenant) for entry in draft.tools]
        tools += [Tool(m.server, m.name, arguments(m.input_schema)) for m in manifests]
    return Known(frozenset(servers), tuple(tools))


def of_view(view: RegistryView, tenants: Iterable[str]) -> Known:
    """Verified sets; tools that do not verify are left out, and told of elsewhere."""
    servers = {(tenant, server) for tenant in tenants for server in view.servers(tenant)}
    pinned = [view.pinned(t, s, name) for t, s in sorted(servers) for name in view.tools(t, s)]
    tools = tuple(Tool(p.server, p.name, arguments(p.input_schema)) for p in pinned if p is not None)
    return Known(frozenset(server for _, server in servers), tools)


def arguments(schema: Mapping[str, Json]) -> frozenset[str]:
    """Names of the arguments, those of alternatives too."""
    properties = schema.get("properties")
    found = set(properties) if isinstance(properties, dict) else set()
    for keyword in ("allOf", "anyOf", "oneOf"):
        parts = schema.get(keyword)
        for part in parts if isinstance(parts, list) else []:
            found |= arguments(part) if isinstance(part, dict) else set()
    return frozenset(found)


def compare(naming: Iterable[Naming], known: Known) -> tuple[Finding, ...]:
    """Warnings, sorted. None about tools of servers that have none yet, and none at all where nothing is pinned."""
    namings = tuple(naming)
    if not known.servers:
        return ()
    bounds = {named.pack: named.of("server") for named in namings if named.rule == "meta"}
    asked = {pack: frozenset[str]().union(*(n.of("argument") for n in namings if n.pack == pack)) for pack in bounds}
    found: set[Finding] = set()
    for named in namings:
        found.update(_servers(named, known))
        tools = _scope(named, bounds.get(named.pack, frozenset()), known)
        found.update(_tools(named, tools, known))
        found.update(_arguments(named, tools, asked.get(named.pack, frozenset())))
    first: dict[tuple[str, str], Finding] = {}  # the same of one name is said once, where it stands first
    for warning in sorted(found):
        first.setdefault((warning.path, warning.message), warning)
    return tuple(first.values())


def _scope(named: Naming, bound: frozenset[str], known: Known) -> tuple[Tool, ...]:
    """The tools that a rule can be about: those of the servers that it names, that bound its grants, or all."""
    servers = named.of("server") & known.servers or (bound & known.servers if named.rule in _GRANTS else frozenset())
    return tuple(tool for tool in known.tools if tool.server in servers) if servers else known.tools


def _servers(named: Naming, known: Known) -> Iterator[Finding]:
    for name in named.names:
        if name.kind == "server" and name.name not in known.servers:
            message = f"{_said(name)}: no signed set has such a server."
            hint = did_you_mean(name.name, known.servers, f"There is: {', '.join(sorted(known.servers))}.")
            yield _warning(name, "registry.server", message, hint)


def _tools(named: Naming, tools: tuple[Tool, ...], known: Known) -> Iterator[Finding]:
    there = {tool.name for tool in tools}
    for name in named.names:
        if name.kind == "tool" and there and name.name not in there:
            elsewhere = sorted(tool.server for tool in known.tools if tool.name == name.name)
            message = f"{_said(name)}: no server that the rule is about has such a tool."
            hint = f"`{elsewhere[0]}` has it." if elsewhere else did_you_mean(name.name, there, "`pdp tools verify`.")
            yield _warning(name, "registry.tool", message, hint)


def _arguments(named: Naming, tools: tuple[Tool, ...], asked: frozenset[str]) -> Iterator[Finding]:
    """Arguments that no tool of the rule has; and their like, on the same server, that no rule of the pack reads."""
    meant = tuple(tool for tool in tools if tool.name in named.of("tool")) or tools
    there = frozenset[str]().union(*(tool.arguments for tool in meant))
    for name in named.names:
        if name.kind != "argument":
            continue
        if meant and name.name not in there:
            message = f"{_said(name)}: no tool that the rule is about has such an argument."
            yield _warning(name, "registry.argument", message, did_you_mean(name.name, there, _list(there)))
            continue
        servers = {tool.server for tool in meant if name.name in tool.arguments}
        for tool in tools:
            alike = sorted(tool.arguments & _alike(name.name) - asked)
            if tool.server in servers and alike:
                other, where = alike[0], f"`{tool.name}` of `{tool.server}`"
                message = f"{_said(name)}, and {where} takes `{other}`, which no rule of the pack reads."
                hint = f"Should the rule hold for it too? Then read `{other}` as well, item by item if it is a list."
                yield _warning(name, "registry.sibling", message, hint)


def _alike(name: str) -> frozenset[str]:
    """One and many: `path`, `paths`; `entry`, `entries`; `address`, `addresses`."""
    many = {f"{name}s", f"{name}es", f"{name}_list", f"{name}List"} | (
        {f"{name[:-1]}ies"} if name[-1:] == "y" else set()
    )
    one = {name.removesuffix(end) for end in ("s", "es", "_list", "List")} | {f"{name.removesuffix('ies')}y"}
    return frozenset((many | one) - {name, ""})


def _list(names: frozenset[str]) -> str:
    return f"There is: {', '.join(sorted(names))}." if names else "Its tools take no arguments."


def _said(name: Name) -> str:
    return f"{name.kind.capitalize()} `{name.name}`" + (f" (of `{name.source}`)" if name.source else "")


def _warning(name: Name, code: str, message: str, hint: str) -> Finding:
    return Finding(name.path, name.line, name.column, code, WARNING, message, hint)
