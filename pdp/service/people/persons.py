"""Who acts: from a credential, or from a sign-in at the console, to a `Person`.

An agent is never a person: a token with an actor chain is refused, however it is held, and so is one of a service.
"""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.approvals.people import Person
from pdp.core.approvals.rows import Account
from pdp.core.request import Caller, Credential
from pdp.ports import Clock, Directories, Subjects


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What the console's own sign-in (OpenID Connect, authorization code) found out. `groups` are the raw values of
    the groups claim; `assurance` is `signed_in` or `passkey`."""

    tenant: str
    account: Account
    name: str = ""
    groups: tuple[str, ...] = ()
    authenticated_ns: int = 0
    assurance: str = "signed_in"


class Persons:
    """Makes persons. Groups come from the directory; from claims only those that the directory says may."""

    def __init__(self, subjects: Subjects, directories: Directories, clock: Clock) -> None:
        self._subjects = subjects
        self._directories = directories
        self._clock = clock

    async def identify(self, caller: Caller, credential: Credential, surface: str) -> Person:
        """The person behind a credential that was made for this caller (`resources` of its configuration).

        Raises Unauthenticated (`subject.*`) when it does not verify; Forbidden `person.agent` (it has an actor
        chain), `person.service` (it is no human's), `person.inactive` (disabled in the directory).
        """
        raise NotImplementedError

    async def signed_in(self, found: SignedIn) -> Person:
        """The person who has signed in at the console. Raises Forbidden `person.inactive`."""
        raise NotImplementedError
