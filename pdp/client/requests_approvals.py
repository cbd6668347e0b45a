"""Sans I/O: what people ask of the service, as requests, and what refuses them.

Unlike a gateway's question, an act of a person that fails is told as such, by RefusedError. Answers are the messages
of `pdp.v1` as they are: all text in them is data of others, to be shown inert.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from pdp.client import responses
from pdp.v1 import approval_pb2, consent_pb2, types_pb2

SURFACE = "pdp-surface"  # metadata: by what the person acts, for the record
_PAUSE = 0.05  # seconds before the one retry
CHOICES: Mapping[str, approval_pb2.VoteChoice.ValueType] = {
    "approve": approval_pb2.VOTE_CHOICE_APPROVE,
    "deny": approval_pb2.VOTE_CHOICE_DENY,
    "cancel": approval_pb2.VOTE_CHOICE_CANCEL,
}


class RefusedError(Exception):
    """The service did not do it. `code` is the service's (`approval.stale`, ...) or `client.*`; `status` gRPC's name.

    With `client.unreachable` and `client.deadline` nobody knows whether it was done: ask again with the same
    `request_id`.
    """

    def __init__(self, code: str, message: str, status: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class Filter:
    """What is listed or watched; empty fields do not narrow. States and kinds by name, such as `pending` and
    `approval`."""

    states: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    server: str = ""
    tool: str = ""
    agent: str = ""
    mine: bool = False
    short_code: str = ""
    person: str = ""  # part of the subject's name in the directory, or a whole id

    def message(self) -> approval_pb2.ApprovalFilter:
        """For the wire. Raises RefusedError `client.request` for a name that is none."""
        return approval_pb2.ApprovalFilter(
            states=[_number(approval_pb2.ApprovalState, "APPROVAL_STATE_", name) for name in self.states],
            kinds=[_number(types_pb2.RequirementKind, "REQUIREMENT_KIND_", name) for name in self.kinds],
            server=self.server,
            tool=self.tool,
            agent=self.agent,
            mine=self.mine,
            short_code=self.short_code,
            person=self.person,
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """Bounds of a grant that an approver offers; 0 and False: not bounded by that."""

    minutes: int = 0
    uses: int = 0
    session_only: bool = False
    arguments_schema: bytes = b""

    def message(self) -> approval_pb2.GrantTerms:
        """For the wire."""
        return approval_pb2.GrantTerms(
            minutes=self.minutes,
            uses=self.uses,
            session_only=self.session_only,
            arguments_schema_json=self.arguments_schema,
        )


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote: `choice` is approve, deny or cancel; `presented` that of the answer which the person saw."""

    choice: str
    reason: str = ""
    presented: str = ""
    grant: Terms | None = None
    behalf: tuple[str, str] | None = None  # issuer and id of who is stood in for


@dataclass(frozen=True, slots=True)
class Consent:
    """What a subject agrees to of its own accord."""

    agent: str
    server: str
    scope: str
    purpose: str
    tool: str = ""


def credential(token: str) -> types_pb2.Credential:
    """Who acts."""
    return types_pb2.Credential(bearer=token)


def vote(who: types_pb2.Credential, approval_id: str, ballot: Ballot, request_id: str) -> approval_pb2.VoteRequest:
    """A vote on one request. Raises RefusedError `client.request`."""
    if ballot.choice not in CHOICES:
        raise RefusedError("client.request", "choice: must be approve, deny or cancel")
    made = approval_pb2.VoteRequest(
        request_id=request_id,
        credential=who,
        approval_id=approval_id,
        choice=CHOICES[ballot.choice],
        reason=ballot.reason,
        presented=ballot.presented,
    )
    if ballot.grant is not None:
        made.grant.CopyFrom(ballot.grant.message())
    if ballot.behalf is not None:
        issuer, name = ballot.behalf
        made.on_behalf_of.CopyFrom(types_pb2.Principal(issuer=issuer, id=name))
    return made


def agree(
    who: types_pb2.Credential, what: str | Consent, presented: str, expires: datetime | None, request_id: str
) -> consent_pb2.GrantConsentRequest:
    """Agreement to an open request, or to terms of one's own."""
    made = consent_pb2.GrantConsentRequest(request_id=request_id, credential=who, presented=presented)
    if isinstance(what, str):
        made.consent_id = what
    else:
        made.terms.CopyFrom(
            consent_pb2.ConsentTerms(
                agent=what.agent, server=what.server, tool=what.tool, scope=what.scope, purpose=what.purpose
            )
        )
    if expires is not None:
        until = Timestamp()
        until.FromDatetime(expires.astimezone(UTC).replace(tzinfo=None))
        made.expires_at.CopyFrom(until)
    return made


def filter_of(wanted: Filter | None) -> approval_pb2.ApprovalFilter | None:
    """A filter for the wire; None for none."""
    return None if wanted is None else wanted.message()


def numbers(enum: Any, prefix: str, names: tuple[str, ...]) -> list[Any]:
    """Numbers of an enum by the names that people use. Raises RefusedError `client.request`."""
    return [_number(enum, prefix, name) for name in names]


def new_id(given: str | None) -> str:
    """The id of an attempt."""
    return given or str(uuid.uuid4())


def metadata(caller: str | None, surface: str) -> tuple[tuple[str, str], ...]:
    """Of every call: the caller's own token, and by what the person acts."""
    own = (("authorization", f"Bearer {caller}"),) if caller else ()
    return (*own, (SURFACE, surface)) if surface else own


def pause(attempt: int, error: grpc.RpcError) -> float | None:
    """Seconds to wait before trying the same again; None: give up."""
    again = attempt == 1 and responses.status(error) is grpc.StatusCode.UNAVAILABLE
    return _PAUSE if again else None


def refused(error: grpc.RpcError) -> RefusedError:
    """What to raise for a call that failed."""
    code, message, server_code = responses.failure(error)
    return RefusedError(server_code or code, message, responses.status(error).name)


Token = str | Callable[[], str]


def told(token: Token | None) -> str:
    """A token, or what the function gives now; "" without one."""
    if token is None:
        return ""
    return token if isinstance(token, str) else token()


def _number(enum: Any, prefix: str, name: str) -> Any:
    try:
        return enum.Value(f"{prefix}{name.upper()}")
    except ValueError:
        known = ", ".join(key.removeprefix(prefix).lower() for key in enum.keys()[1:])
        raise RefusedError("client.request", f"'{name}' is none of: {known}") from None
