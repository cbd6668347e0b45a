"""Resume tokens, sealed with rotating keys that replicas share (MCP 2026-07-28: integrity is a MUST, binding to
principal, expiry and request a SHOULD). Sealing does not give single use: the store does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pdp.core.approvals.redeem import Resume
from pdp.core.ports import Entropy
from pdp.core.rows.approvals import Account
from pdp.people.seal import Seal


class SealedResumeTokens:
    """The resume tokens of pending answers, as `ports.ResumeTokens`."""

    def __init__(self, secrets: Sequence[bytes], entropy: Entropy) -> None:
        self._seal = Seal(secrets, "resume token 1", entropy)

    def seal(self, resume: Resume) -> str:
        """An opaque text of a few hundred characters."""
        return self._seal.close(
            [
                resume.tenant,
                resume.caller,
                resume.subject.issuer,
                resume.subject.id,
                resume.server,
                resume.digest,
                list(resume.approvals),
                resume.expires_ns,
                list(resume.judged),
                resume.asked_ns,
            ]
        )

    def open(self, token: str, at_ns: int) -> Resume | None:
        """The content of a token; None for a foreign, altered or expired one. A call without a token attaches to its
        open requests all the same."""
        resume = _read(self._seal.open(token))
        return resume if resume is not None and at_ns < resume.expires_ns else None


def _read(content: Any) -> Resume | None:
    match content:
        case [
            str(tenant),
            str(caller),
            str(issuer),
            str(subject),
            str(server),
            str(digest),
            [*approvals],
            int(expires),
            [*judged],
            int(asked),
        ] if _texts(approvals) and _texts(judged):
            account = Account(issuer, subject)
            return Resume(tenant, caller, account, server, digest, tuple(approvals), expires, tuple(judged), asked)
        case _:
            return None


def _texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
