"""Golden cases: read from YAML, asked of a world, compared with what they say.

A case is `{name, world?, before?, request, evidence?, facts?, decision, record?, spares?}`. What a key of it may hold
is what the functions below read; anything else fails the load, so a misspelt expectation cannot pass silently.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from support.golden import CASES, INSTANTS, PEOPLE, REVOKED_JTI, audience
from support.world import METHOD, World

from devtools.demo.stage import tampered
from devtools.sandbox import definition_bytes
from pdp.core.check import NS
from pdp.identity import development
from pdp.identity.development import DEVELOPMENT_ISSUER, DevelopmentKey
from pdp.v1 import decision_pb2, types_pb2

_KEYS = {
    "case": {
        "name", "world", "before", "switches", "request", "evidence", "facts", "decision", "refused", "record",
        "spares",
    },
    "request": {
        "who", "claims", "token", "vouched", "caller", "server", "tool", "arguments", "arguments_json", "definition",
        "session", "obligations", "context", "method", "target", "list", "capabilities", "protocol_version", "peer",
    },
    "token": {"raw", "signed_by", "header", "age", "lifetime"},
    "session": {"id", "task", "task_by_agent", "parent", "handle"},
    "decision": {
        "effect", "reasons", "requirements", "obligations", "visible", "hidden", "waived", "risk", "valid_seconds"
    },
    "refused": {"status", "code", "field"},
    "evidence": {"code", "state", "verdict", "expires", "call", "change", "element", "when"},
    "verdict": {"status", "verdict", "confidence", "prompt", "model"},
    "list": {"tools", "only", "drifted"},
}  # fmt: skip


def _closed(kind: str, found: Mapping[str, Any], where: str) -> None:
    unknown = set(found) - _KEYS[kind]
    assert not unknown, f"{where}: unknown key {sorted(unknown)} of {kind}"


@dataclass(frozen=True, slots=True)
class Case:
    """One case; `request` and the expectations as they stand in the file."""

    file: str
    name: str
    request: Mapping[str, Any]
    world: str = "wednesday"
    before: Sequence[Mapping[str, Any]] = ()
    switches: Sequence[Mapping[str, Any]] = ()
    evidence: Sequence[Mapping[str, Any]] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    decision: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    spares: Sequence[str] = ()

    @property
    def id(self) -> str:
        return f"{self.file}:{self.name.replace(' ', '_')}"

    @property
    def is_list(self) -> bool:
        return "list" in self.request

    def fired(self) -> set[str]:
        """Every code that this case says is there."""
        found = set(self.decision.get("reasons", ())) | set(self.decision.get("waived", ()))
        found |= {str(o["code"]) for o in self.decision.get("obligations", ())}
        for codes in self.decision.get("hidden", {}).values():
            found |= set(codes)
        return found

    def named(self) -> set[str]:
        """Every text that the case expects anywhere: codes of checks stand in facts and records too."""
        return self.fired() | set(_leaves([self.facts, self.record, self.refused]))


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _leaves(list(value.values()))
    elif isinstance(value, Sequence):
        for item in value:
            yield from _leaves(item)


@functools.cache
def load_cases(folder: Path = CASES) -> Sequence[Case]:
    """All cases of the folder's YAML files."""
    return [case for path in sorted(folder.glob("*.yaml")) for case in _of_file(path)]


def _of_file(path: Path) -> Iterator[Case]:
    for raw in yaml.load(path.read_text(), yaml.CSafeLoader):
        where = f"{path.name}: {raw.get('name')}"
        _closed("case", raw, where)
        for request in (raw["request"], *raw.get("before", ())):
            _closed("request", request, where)
            for kind in ("token", "session", "list"):
                _closed(kind, request.get(kind) or {}, where)
        for said in raw.get("evidence", ()):
            _closed("evidence", said, where)
            _closed("verdict", said.get("verdict", {}), where)
        _closed("decision", raw.get("decision", {}), where)
        _closed("refused", raw.get("refused", {}), where)
        assert ("decision" in raw) != ("refused" in raw), f"{where}: expects a decision or a refusal"
        assert raw.get("world", "wednesday") in INSTANTS, where
        yield Case(file=path.stem, **raw)


@dataclass(frozen=True, slots=True)
class Asker:
    """Puts the requests of one run of a case; session ids are the run's own."""

    world: World
    run: str

    def question(self, said: Mapping[str, Any]) -> decision_pb2.DecideRequest:
        """A DecideRequest as the case says it."""
        context = said.get("context", {})
        return decision_pb2.DecideRequest(
            request_id=self.world.fresh("request"),
            method=said.get("method", METHOD),
            target=self._target(said),
            credential=self._credential(said),
            session=self._session(said),
            supported_obligations=said.get("obligations", ()),
            protocol_version=said.get("protocol_version", ""),
            client_capabilities_json=_json(said.get("capabilities")),
            server_peer=types_pb2.ServerPeer(**said.get("peer", {})),
            context=types_pb2.Context(
                client_address=context.get("client_address", ""),
                observation=context.get("observation", ""),
                extra_json=_json(context.get("extra")),
            ),
        )

    def listing(self, said: Mapping[str, Any]) -> decision_pb2.FilterToolsRequest:
        """A FilterToolsRequest as the case says it."""
        wanted, server = said["list"] or {}, said.get("server", "git")
        definitions = [self.world.definition(server, name) for name in wanted.get("tools", ())]
        drifted = wanted.get("drifted", ())
        return decision_pb2.FilterToolsRequest(
            request_id=self.world.fresh("request"),
            server=server,
            credential=self._credential(said),
            session=self._session(said),
            definitions_json=[tampered(d) if d["name"] in drifted else definition_bytes(d) for d in definitions],
            presented_only=wanted.get("only", False),
            server_peer=types_pb2.ServerPeer(**said.get("peer", {})),
        )

    def _target(self, said: Mapping[str, Any]) -> types_pb2.Target:
        if "target" in said:
            ((kind, fields),) = said["target"].items()
            made = {"resource": types_pb2.ResourceTarget, "prompt": types_pb2.PromptTarget}
            made["generic"] = types_pb2.GenericTarget
            return types_pb2.Target(**{kind: made[kind](**fields)})
        server, name = said.get("server", "git"), said["tool"]
        raw = said["arguments_json"].encode() if "arguments_json" in said else _json(said.get("arguments", {}))
        tool = types_pb2.ToolTarget(server=server, name=name, arguments_json=raw)
        self._present(tool, said.get("definition", "pinned"))
        return types_pb2.Target(tool=tool)

    def _present(self, tool: types_pb2.ToolTarget, how: str) -> None:
        """`pinned`, `none`, `drifted`, `digest` (the right one, bare), `with_meta`, `reordered`, or JSON text."""
        if how == "none":
            return
        if how.startswith(("{", "[")):
            tool.definition_json = how.encode()
            return
        known = self.world.definition(tool.server, tool.name)
        if how == "digest":
            pinned = self.world.process.state.snapshot().registry.pinned("acme", tool.server, tool.name)
            assert pinned is not None
            tool.definition_digest = pinned.manifest_sha256
            return
        tool.definition_json = {
            "pinned": definition_bytes(known),
            "drifted": tampered(known),
            "with_meta": definition_bytes({**known, "_meta": {"trace": "1"}}),
            "reordered": definition_bytes(dict(reversed(known.items()))),
        }[how]

    def _session(self, said: Mapping[str, Any]) -> types_pb2.Session:
        found = said.get("session", {})
        id_ = f"{found['id']}-{self.run}" if found.get("id") else ""
        return types_pb2.Session(**{**found, "id": id_})

    def _credential(self, said: Mapping[str, Any]) -> types_pb2.Credential | None:
        if "vouched" in said:
            found = said["vouched"]
            claims = types_pb2.AssertedClaims(
                issuer=found.get("issuer", DEVELOPMENT_ISSUER),
                subject=found["subject"],
                claims_json=_json(found.get("claims", {})),
            )
            return types_pb2.Credential(claims=claims)
        if said.get("who") is None:
            return None
        return types_pb2.Credential(bearer=self._token(said))

    def _token(self, said: Mapping[str, Any]) -> str:
        how = said.get("token", {})
        if "raw" in how:
            return str(how["raw"])
        person = PEOPLE[said["who"]]
        claims: dict[str, Any] = development.claims(
            subject=person.id,
            audience=audience(said.get("server", "git")),
            client_id="coding-agent",
            scopes=person.scopes,
            groups=person.groups,
            amr=("pwd",),
        )
        for name, value in said.get("claims", {}).items():
            claims[name] = REVOKED_JTI if (name, value) == ("jti", "revoked") else value
            if value is None:
                del claims[name]
        at = self.world.now_ns - how.get("age", 0) * NS
        key = _key(self.world.sandbox.key, how.get("signed_by", "issuer"))
        if "header" in how:
            whole = {"iat": at // NS, "exp": at // NS + 600, **claims}
            return development.sign({"alg": "EdDSA", "kid": key.kid, "typ": "at+jwt", **how["header"]}, whole, key)
        return development.mint(claims, key, at, lifetime_seconds=how.get("lifetime", 600))


def _key(real: DevelopmentKey, who: str) -> DevelopmentKey:
    """The issuer's own key, a stranger's, or a stranger's that claims to be the issuer's."""
    if who == "issuer":
        return real
    stranger = development.make_key(bytes(range(32)))
    return stranger if who == "stranger" else DevelopmentKey(real.kid, real.public, stranger.seed)


def _json(value: Any) -> bytes:
    return b"" if value is None else json.dumps(value, ensure_ascii=False).encode()


def differences(wanted: Any, found: Any, at: str = "") -> Iterator[str]:
    """What of a nested subset does not hold. Keys that begin with "/" are JSON Pointers into `found`; an empty
    mapping is only in an empty one."""
    if isinstance(wanted, Mapping) and wanted and isinstance(found, Mapping):
        for key, value in wanted.items():
            if key.startswith("/"):
                yield from differences(value, resolve(found, key), f"{at}{key}")
            elif key not in found:
                yield f"{at}/{key}: is not there"
            else:
                yield from differences(value, found[key], f"{at}/{key}")
    elif isinstance(wanted, bool) != isinstance(found, bool) or wanted != found:
        yield f"{at}: {found!r} instead of {wanted!r}"


def resolve(document: Any, pointer: str) -> Any:
    """The value at a JSON Pointer; a text that says so when there is none."""
    for part in pointer.split("/")[1:]:
        if isinstance(document, list):
            document = document[int(part)] if int(part) < len(document) else f"nothing at {pointer}"
        elif isinstance(document, Mapping) and part in document:
            document = document[part]
        else:
            return f"nothing at {pointer}"
    return document
