"""Grants and consents: what they cover, and everything that they do not."""

import json
from dataclasses import replace
from typing import Any

import pytest
from support import approvals as make
from support.for_each import for_each

from pdp.core.approvals import consents, grants
from pdp.core.approvals.grants import MAX_MINUTES, MAX_USES, GrantTerms, narrowest, within
from pdp.core.bytes.digest import canonical
from pdp.core.check import NS
from pdp.core.errors import InvalidRequest
from pdp.core.outcome.requirement import GrantOffer
from pdp.core.rows.approvals import Account
from pdp.core.rows.states import GrantState

NOW = make.AT + NS
REQUEST = make.approval(make.element(grant={"minutes": 30, "uses": 5}))
ARGUMENTS = canonical(make.ARGUMENTS)


def issued(terms: GrantTerms = GrantTerms(10, 2), **fields: Any) -> Any:  # noqa: B008 - frozen
    made = grants.issue(
        REQUEST, terms, grant_id=make.make_id(7), issued_by=("h-bob",), arguments=ARGUMENTS, at_ns=make.AT
    )
    return replace(made, **fields)


GRANT = issued()


class TestGrants:
    def covers(self, grant: Any = GRANT, asked: Any = None, at_ns: int = NOW, valid: Any = make.constant) -> bool:
        return grants.covers(grant, asked or make.asked(), at_ns, valid)

    def test_the_same_call_is_covered(self) -> None:
        assert self.covers()
        assert (GRANT.state, GRANT.version, GRANT.used) == (GrantState.ACTIVE, 1, 0)
        assert GRANT.requirement == REQUEST.requirement

    def test_other_arguments_are_not(self) -> None:
        assert not self.covers(asked=make.asked(arguments={"branch": "other"}))
        assert not self.covers(asked=make.asked(arguments={**make.ARGUMENTS, "more": 1}))

    def test_its_own_schema_says_which_arguments_are(self) -> None:
        free = issued(GrantTerms(10, 2, arguments_schema=b'{"properties":{"branch":{"const":"main"}}}'))
        assert self.covers(free, make.asked(arguments={"branch": "main"}))
        assert not self.covers(free, make.asked(arguments={"branch": "other"}))
        assert not self.covers(free, valid=lambda *_: False)

    @for_each(
        "change",
        [
            {"subject": make.account("ann")},
            {"subject": Account("urn:other", "sue")},
            {"agent": "other"},
            {"caller": "other"},
            {"server": "other"},
            {"tool": "other"},
            {"manifest_sha256": "other"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_a_call_of_another_kind_is_not(self, change: Any) -> None:
        assert not self.covers(asked=make.asked(replace(make.call(), **change)))

    def test_nor_one_of_another_tenant(self) -> None:
        assert not self.covers(asked=make.asked(tenant="globex"))

    def test_a_session_binds_only_where_it_was_agreed(self) -> None:
        other = make.asked(make.call(session="s-2"))
        assert self.covers(asked=other)
        assert not self.covers(issued(GrantTerms(session=True)), other)
        assert self.covers(issued(GrantTerms(session=True)))

    def test_at_the_instant_of_its_expiry_it_is_over(self) -> None:
        assert GRANT.expires_ns == make.AT + 600 * NS
        assert self.covers(at_ns=GRANT.expires_ns - 1)
        assert not self.covers(at_ns=GRANT.expires_ns)
        assert self.covers(issued(GrantTerms(uses=1)), at_ns=make.AT + 10**18)

    def test_no_more_uses_than_it_has(self) -> None:
        assert self.covers(issued(used=1))
        assert not self.covers(issued(used=2))
        assert self.covers(issued(GrantTerms(minutes=1), used=99))

    @for_each("state", [s for s in GrantState if s is not GrantState.ACTIVE])
    def test_what_has_ended_covers_nothing(self, state: Any) -> None:
        assert not self.covers(issued(state=state))

    def test_it_stands_while_all_who_agreed_are_there(self) -> None:
        assert grants.upheld(GRANT, make.DIRECTORY)
        assert not grants.upheld(replace(GRANT, issued_by=("h-bob", "h-eve")), make.DIRECTORY)
        assert not grants.upheld(replace(GRANT, issued_by=()), make.DIRECTORY)

    @for_each(
        ("terms", "offer", "fine"),
        [
            (GrantTerms(30, 5), GrantOffer(30, 5, False), True),
            (GrantTerms(1, 1), GrantOffer(30, 5, False), True),
            (GrantTerms(1, 1, session=True), GrantOffer(30, 5, False), True),
            (GrantTerms(31, 5), GrantOffer(30, 5, False), False),
            (GrantTerms(30, 6), GrantOffer(30, 5, False), False),
            (GrantTerms(0, 5), GrantOffer(30, 5, False), False),
            (GrantTerms(30, 0), GrantOffer(30, 5, False), False),
            (GrantTerms(-1, 5), GrantOffer(30, 5, False), False),
            (GrantTerms(30, -5), GrantOffer(30, 5, False), False),
            (GrantTerms(30), GrantOffer(30, 0, False), True),
            (GrantTerms(30, 9), GrantOffer(30, 0, False), True),
            (GrantTerms(session=True), GrantOffer(0, 0, True), True),
            (GrantTerms(30), GrantOffer(0, 0, True), False),
            (GrantTerms(), GrantOffer(0, 0, False), False),
            (GrantTerms(MAX_MINUTES), GrantOffer(2**60, 0, False), True),
            (GrantTerms(MAX_MINUTES + 1), GrantOffer(2**60, 0, False), False),
            (GrantTerms(0, MAX_USES + 1), GrantOffer(0, 2**60, False), False),
            (GrantTerms(1, 1), None, False),
        ],
    )
    def test_terms_stay_within_the_offer(self, terms: Any, offer: Any, fine: bool) -> None:
        assert within(terms, offer) is fine

    def test_terms_come_back_as_they_went(self) -> None:
        for terms in (GrantTerms(1, 2, True), GrantTerms(3, 0, False, b'{"type":"object"}')):
            assert GrantTerms.from_bytes(terms.to_bytes()) == terms
        spaced = GrantTerms(arguments_schema=b'{ "b": 1, "a": 2 }')
        known = GrantTerms.from_bytes(spaced.to_bytes())
        assert known is not None
        assert known.arguments_schema == b'{"a":2,"b":1}'
        for other in (
            {},
            {"minutes": 5, "uses": 0, "session": False},
            {**json.loads(spaced.to_bytes()), "tools": []},
        ):
            assert GrantTerms.from_bytes(canonical(other)) is None  # by another release
        with pytest.raises(InvalidRequest):
            GrantTerms(arguments_schema=b"[]").to_bytes()

    def test_what_all_agreed_to_is_the_narrowest(self) -> None:
        some, more = GrantTerms(30, 0, False, b'{"a":1}'), GrantTerms(0, 3, True, b'{"b":2}')
        both = narrowest([some, more])
        assert (both.minutes, both.uses, both.session) == (30, 3, True)
        assert json.loads(both.arguments_schema) == {"allOf": [{"a": 1}, {"b": 2}]}
        assert narrowest([some, some]) == some
        assert narrowest([some, GrantTerms(5)]) == GrantTerms(5)


CONSENT_WANTED = make.wanted(**make.CONSENT)
AGREED = consents.given(
    make.approval(make.CONSENT),
    CONSENT_WANTED,
    consent_id=make.make_id(6),
    expires_ns=make.AT + 100 * NS,
    assurance="signed_in",
    at_ns=make.AT,
)


class TestConsents:
    def covers(
        self, consent: Any = AGREED, asked: Any = None, wanted: Any = CONSENT_WANTED, at_ns: int = NOW
    ) -> bool:
        return consents.covers(consent, wanted, asked or make.asked(), at_ns)

    def test_what_was_agreed_to_is_covered(self) -> None:
        assert self.covers()
        assert (AGREED.server, AGREED.tool, AGREED.scope, AGREED.purpose) == (
            "git",
            "git_reset",
            "repo:write",
            "tidy up",
        )

    @for_each(
        "change",
        [
            {"agent": "other"},
            {"agent": ""},
            {"subject": make.account("ann")},
            {"server": "other"},
            {"tool": "other"},
            {"server": ""},  # a tool's name alone names none
            {"scope": "repo:read"},
            {"purpose": "something else"},
            {"purpose": ""},
            {"tenant": "globex"},
            {"assurance": "client_asserted"},
            {"assurance": "no such"},
            {"ended_ns": make.AT},
            {"expires_ns": 0},
            {"granted_ns": NOW + 1},
        ],
        ids=str,
    )
    def test_nothing_else_is(self, change: Any) -> None:
        assert not self.covers(replace(AGREED, **change))

    @for_each("change", [{"agent": "other"}, {"server": "other"}, {"tool": "x"}], ids=str)
    def test_no_other_call_is(self, change: Any) -> None:
        assert not self.covers(asked=make.asked(replace(make.call(), **change)))
        assert not self.covers(asked=make.asked(tenant="globex"))

    @for_each("change", [{"tool": ""}, {"tool": "", "server": ""}, {"scope": ""}], ids=str)
    def test_a_wider_one_covers_it(self, change: Any) -> None:
        assert self.covers(replace(AGREED, **change))

    def test_a_narrower_one_does_not_cover_everything(self) -> None:
        assert not self.covers(wanted=replace(CONSENT_WANTED, scope=""))

    def test_at_the_instant_of_its_expiry_it_is_over(self) -> None:
        assert self.covers(at_ns=AGREED.expires_ns - 1)
        assert not self.covers(at_ns=AGREED.expires_ns)

    @for_each("kind", ["approval", "confirmation"])
    def test_it_answers_no_other_kind(self, kind: str) -> None:
        assert not self.covers(wanted=replace(CONSENT_WANTED, kind=kind))

    def test_a_stronger_assurance_is_asked_for(self) -> None:
        strong = make.wanted(**make.CONSENT, min_assurance="passkey")
        assert not self.covers(wanted=strong)
        assert self.covers(replace(AGREED, assurance="passkey"), wanted=strong)
