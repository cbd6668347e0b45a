"""A complete test installation in one folder: keys, a signed registry, a policy, a configuration, tokens.

The demo, the tests and the bench live in it. Every key is made here, at run time, and is refused by a production
configuration.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import override

from pdp.core.check import NS
from pdp.core.digest import Json
from pdp.identity import development
from pdp.identity.development import DevelopmentKey
from pdp.policy.bundle import shipped_rego
from pdp.registry import keys, sign
from pdp.registry.manifest import render
from pdp.registry.pin import Pinned, PinnedServer, pin
from pdp.registry.review import Review, load_review

TENANT = "acme"
CALLER_AUDIENCE = "urn:pdp:callers"
DESK = "urn:pdp:desk"  # the audience of tokens with which people act themselves
DAY_NS = 24 * 3600 * NS
CALLERS: Mapping[str, Mapping[str, Any]] = {
    "gateway": {"roles": ["decide"], "servers": ["*"]},
    "operator": {"roles": ["operate"]},
    "auditor": {"roles": ["audit"]},
    "explainer": {"roles": ["explain"], "servers": ["*"]},
    "desk": {"roles": ["approve", "subject"], "resources": [DESK], "person_clients": ["desk"]},
}


@dataclass(frozen=True, slots=True)
class SandboxPerson:
    """A person for whom an agent acts. Policy grants by `groups`; the token is limited to `scopes`."""

    id: str
    groups: tuple[str, ...]
    scopes: tuple[str, ...]


ALICE = SandboxPerson("alice", ("developers",), ("git:read", "git:write"))
BOB = SandboxPerson("bob", ("auditors",), ("git:read",))
CAROL = SandboxPerson("carol", ("approvers", "leaders", "security"), ())
DAVE = SandboxPerson("dave", ("approvers", "leaders", "security"), ())
ERIN = SandboxPerson("erin", ("operators", "on-call"), ())
PEOPLE = (ALICE, BOB, CAROL, DAVE, ERIN)
GROUPS: Mapping[str, str] = {
    "approvers": "Approvers",
    "auditors": "Auditors",
    "developers": "Developers",
    "leaders": "Team leaders",
    "on-call": "On call",
    "operators": "Operators",
    "security": "Security",
}


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A test installation. All paths lie below `folder`."""

    folder: Path
    server: PinnedServer
    key: DevelopmentKey = field(repr=False)

    @property
    def config(self) -> Path:
        return self.folder / "pdp.yaml"

    @property
    def registry(self) -> Path:
        return self.folder / "registry"

    @property
    def policy(self) -> Path:
        return self.folder / "policy"

    @property
    def socket(self) -> str:
        """The gRPC target of the server."""
        return f"unix:{self.folder / 'pdp.sock'}"

    def token(self, person: SandboxPerson, at_ns: int, *, lifetime_seconds: int = 600, **claims: Json) -> str:
        """A person's access token for the server, as an agent would hold it; `claims` replace or add."""
        standard = development.claims(
            subject=person.id,
            audience=self.server.resource,
            client_id="coding-agent",
            scopes=person.scopes,
            groups=person.groups,
            amr=("pwd",),
        )
        return development.mint({**standard, **claims}, self.key, at_ns, lifetime_seconds=lifetime_seconds)

    def own_token(self, person: SandboxPerson, at_ns: int, *, lifetime_seconds: int = 600, **claims: Json) -> str:
        """A person's own token, to act with: no agent holds it, and it is good for no MCP server."""
        standard = development.claims(
            subject=person.id, audience=DESK, client_id="desk", groups=person.groups, amr=("pwd",)
        )
        return development.mint({**standard, **claims}, self.key, at_ns, lifetime_seconds=lifetime_seconds)

    def caller_token(self, name: str, at_ns: int, *, lifetime_seconds: int = 3600) -> str:
        """The own token of a caller (gateway, operator, auditor)."""
        standard = development.claims(subject=name, audience=CALLER_AUDIENCE, client_id=name)
        return development.mint(standard, self.key, at_ns, lifetime_seconds=lifetime_seconds)

    def pin(self, definitions: Sequence[Mapping[str, Json]], review: Path | Review, at_ns: int) -> Pinned:
        """Pin the server's definitions as the review says, and have author and reviewer sign the set."""
        loaded = load_review(review) if isinstance(review, Path) else review
        pinned = pin(self.registry, self.server, definitions, loaded, at_ns=at_ns)
        if pinned.draft is not None:
            self.sign(at_ns)
        return pinned

    def sign(self, at_ns: int, *, renew: bool = False, days: int = 30) -> None:
        """Author and reviewer both sign the set."""
        for i, name in enumerate(("author", "reviewer")):
            key = keys.read_private(self.folder / "keys" / f"{name}.pem")
            sign.sign_set(self.registry, key, sign.SigningTerm(at_ns, days * DAY_NS), renew=renew and i == 0)

    def waive(self, waivers: Sequence[Mapping[str, Json]], at_ns: int, *, days: int = 30) -> None:
        """Sign waivers; one without `expires` holds as long as the document."""
        until = render(at_ns + days * DAY_NS)
        whole = [{"expires": until, **waiver} for waiver in waivers]
        (self.registry / sign.WAIVERS_DRAFT).write_text(yaml.safe_dump({"waivers": whole}))
        for name in ("author", "reviewer"):
            key = keys.read_private(self.folder / "keys" / f"{name}.pem")
            sign.sign_waivers(self.registry, key, sign.SigningTerm(at_ns, days * DAY_NS))


def create(
    folder: Path, server: PinnedServer, *, policy: Path | None = None, settings: Mapping[str, Any] | None = None
) -> Sandbox:
    """Make a world in `folder` (emptied first): keys, an empty registry, a copy of the policy, a configuration.

    `settings` are merged over the configuration, section by section.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    (folder / "registry").mkdir(mode=0o700)
    key = development.write_keys(folder / "issuer", os.urandom(development.SEED_BYTES))
    for name in ("author", "reviewer"):
        keys.generate(name, folder / "keys")
    shutil.copytree(policy or shipped_rego() / "examples" / "acme", folder / "policy")
    for place in (folder / "policy", *(folder / "policy").rglob("*")):
        place.chmod(0o755 if place.is_dir() else 0o644)
    sandbox = Sandbox(folder, server, key)
    (folder / "directory.yaml").write_text(yaml.safe_dump(_directory(), sort_keys=False))
    sandbox.config.write_text(
        yaml.dump(_merged(_configuration(), settings or {}), Dumper=_NoAliasDumper, sort_keys=False)
    )
    return sandbox


class _NoAliasDumper(yaml.SafeDumper):
    """A YAML dumper without aliases, which our reader refuses."""

    @override
    def ignore_aliases(self, data: object) -> bool:
        return True


def _configuration() -> dict[str, Any]:
    issuer = development.DEVELOPMENT_ISSUER
    callers = {
        name: {"match": {"issuer": issuer, "subject": name}, "tenant": TENANT, **rights}
        for name, rights in CALLERS.items()
    }
    return {
        "mode": "development",
        "server": {"listen": ["unix:pdp.sock"]},
        "store": {"path": "store"},
        "policy": {"folder": "policy"},
        "directory": {"tenants": {TENANT: {"file": "directory.yaml", "operators": ["operators"]}}},
        "registry": {
            "sets": {TENANT: "registry"},
            "keys": [
                {"id": name, "role": name, "public_key_file": f"keys/{name}.pub.pem"}
                for name in ("author", "reviewer")
            ],
        },
        "identity": {
            "caller_audience": CALLER_AUDIENCE,
            "issuers": [
                {
                    "issuer": issuer,
                    "tenant": TENANT,
                    "jwks_file": "issuer/jwks.json",
                    "max_lifetime_seconds": 3600,  # so that what is tried by hand need not be fetched all the time
                    "development": True,
                }
            ],
            "callers": callers,
        },
    }


def _directory() -> dict[str, Any]:
    issuer = development.DEVELOPMENT_ISSUER
    people = [
        {
            "id": f"p-{person.id}",
            "name": person.id.capitalize(),
            "mail": f"{person.id}@acme.example",
            "accounts": [{"issuer": issuer, "id": person.id}],
            "groups": list(person.groups),
            "active": True,
        }
        for person in PEOPLE
    ]
    return {"people": people, "groups": dict(GROUPS)}


def _merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        section = merged.get(key)
        merged[key] = _merged(section, value) if isinstance(section, dict) and isinstance(value, Mapping) else value
    return merged


def definition_bytes(definition: Mapping[str, Any]) -> bytes:
    """A tool's definition as a gateway presents it."""
    return json.dumps(definition, ensure_ascii=False).encode()
