"""The one call that the bench asks about: a pinned tool, and tokens signed as most issuers sign (RS256)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from joserfc import jwt
from joserfc.jwk import RSAKey

from pdp.authoring import sandbox
from pdp.authoring.sandbox import ALICE, Sandbox
from pdp.core.check import NS
from pdp.core.digest import Json
from pdp.identity import development
from pdp.identity.keys import DEVELOPMENT_MEMBER, DEVELOPMENT_PREFIX

TOOL: Mapping[str, Json] = {
    "name": "git_log",
    "description": "Shows the commit logs",
    "inputSchema": {
        "type": "object",
        "properties": {"repo_path": {"type": "string"}, "max_count": {"type": "integer"}},
        "required": ["repo_path"],
        "additionalProperties": False,
    },
}
REVIEW = {
    "reviewed_by": "bench",
    "tools": {
        "git_log": {
            "risk": "low",
            "permissions": ["git:read"],
            "labels": [],
            "sinks": [],
            "annotations": {"read_only": True, "open_world": False},
        }
    },
}


RESET = "git_reset"  # waits for an approval
DESTRUCTIVE: Mapping[str, Json] = {
    RESET: {
        "risk": "high",
        "permissions": ["git:write"],
        "labels": [],
        "sinks": [],
        "annotations": {"read_only": False, "destructive": True, "open_world": False},
    }
}


class Tokens:
    """RS256 tokens of the world's issuer, whose key set is replaced by one RSA key made here."""

    def __init__(self, world: Sandbox) -> None:
        self._world = world
        self._key = RSAKey.generate_key(2048, {"kid": f"{DEVELOPMENT_PREFIX}bench", "use": "sig", "alg": "RS256"})
        keys = {"keys": [self._key.as_dict(private=False)], DEVELOPMENT_MEMBER: True}
        (world.folder / "issuer" / development.JWKS_FILE).write_text(json.dumps(keys))

    def subject(self, now: int) -> str:
        """For whom the agent acts."""
        made = development.claims(
            subject=ALICE.id,
            audience=self._world.server.resource,
            client_id="coding-agent",
            scopes=ALICE.scopes,
            groups=ALICE.groups,
            amr=("pwd",),
        )
        return self._sign({**made, "auth_time": now // NS}, now)

    def caller(self, now: int) -> str:
        """The gateway's own."""
        return self._sign(
            development.claims(subject="gateway", audience=sandbox.CALLER_AUDIENCE, client_id="gateway"), now
        )

    def _sign(self, claims: Mapping[str, Json], now: int) -> str:
        times = {"iat": now // NS, "exp": now // NS + 3600, "jti": f"bench-{now}"}
        header = {"alg": "RS256", "kid": self._key.kid, "typ": "at+jwt"}
        return jwt.encode(header, {**claims, **times}, self._key)
