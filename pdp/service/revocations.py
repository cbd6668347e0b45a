"""Revocations in force: whose tokens are dead, asked wherever a credential is verified or somebody signed in acts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pdp.core.approvals.rows import Account
from pdp.core.check import failed, missing
from pdp.core.digest import Json, keyed_index
from pdp.core.facts import AgentFact, Identity, SubjectFact
from pdp.core.request import Caller, Credential
from pdp.core.security_events import TokenMark, normal
from pdp.core.switches import Switches
from pdp.ports import Subjects

_REVOKED = failed("subject.revoked", "the token was revoked; sign in again")
_NO_AGENT = missing("agent.missing", "without an accepted subject there is no agent; see the subject's check")


@dataclass(frozen=True, slots=True)
class Revocations:
    """The revocations among the durable switches. Marks are found by keyed index: the store holds no ids."""

    switches: Callable[[], Switches]
    index_key: bytes

    def index(self, tenant: str, mark: TokenMark) -> str:
        """The keyed index of a mark."""
        return keyed_index(self.index_key, "revocation", tenant, mark.kind, mark.issuer, mark.value)

    def of_token(self, tenant: str, identity: Identity, at_ns: int) -> bool:
        """Whether the token of a verified identity is dead."""
        switches = self.switches()
        if not switches.revoked:
            return False
        indexes = (self.index(tenant, mark) for mark in _marks(identity))
        return switches.revokes(indexes, identity.subject.issued_ns, at_ns)

    def of_account(self, tenant: str, account: Account, since_ns: int, at_ns: int) -> bool:
        """Whether what an account has signed in to at `since_ns` is over."""
        switches = self.switches()
        if not switches.revoked:
            return False
        kinds = ("subject", "sessionless")
        indexes = (self.index(tenant, TokenMark(kind, account.issuer, account.id)) for kind in kinds)
        return switches.revokes(indexes, since_ns, at_ns)


def _marks(identity: Identity) -> Iterator[TokenMark]:
    subject, marks = identity.subject, dict(identity.marks)
    issuer, name = subject.issuer or "", subject.id or ""
    yield TokenMark("subject", issuer, name)
    if "session" not in marks:
        yield TokenMark("sessionless", issuer, name)
    if subject.token_id is not None:
        yield TokenMark("token", issuer, subject.token_id)
    yield from (TokenMark(kind, issuer, normal(kind, value)) for kind, value in marks.items())


@dataclass(frozen=True, slots=True)
class UnrevokedSubjects:
    """Subjects whose tokens nobody has revoked (port `Subjects`)."""

    subjects: Subjects
    revoked: Revocations

    async def identify(
        self, credential: Credential, *, caller: Caller, audiences: tuple[str, ...], at_ns: int
    ) -> Identity:
        """See `ports.Subjects.identify`. Asked when the keys are there: fetching them may take a while."""
        identity = await self.subjects.identify(credential, caller=caller, audiences=audiences, at_ns=at_ns)
        if identity.subject.check.ok and self.revoked.of_token(caller.tenant, identity, at_ns):
            return Identity(SubjectFact(_REVOKED), AgentFact(_NO_AGENT))
        return identity

    def revocations(self) -> str:
        """Digest of the deny list that is in force; pushed revocations are the store's."""
        return self.subjects.revocations()

    def key_status(self, at_ns: int) -> Mapping[str, Json]:
        """See `ports.Subjects.key_status`."""
        return self.subjects.key_status(at_ns)
