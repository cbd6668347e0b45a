"""What a resume token says. It proves nothing: the credential is verified and policy evaluated again."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.approvals.rows import Account


@dataclass(frozen=True, slots=True)
class Resume:
    """The pending call that a token belongs to, and the requests that it waits for. `digest` binds the session,
    the agent, the tool and the arguments as well."""

    tenant: str
    caller: str
    subject: Account
    server: str
    digest: str
    approvals: tuple[str, ...]
    expires_ns: int
    judged: tuple[str, ...] = ()  # digests of the requirements that a judge is still out about
    asked_ns: int = 0  # when the call was asked about: older verdicts are not what it waits for
