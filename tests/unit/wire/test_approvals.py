"""Codec of approvals, outwards: people of the directory."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.approvals import DIRECTORY, MEMBERS, approval, directory, element, person, standing

from pdp.core.approvals.view import view
from pdp.core.errors import InvalidRequest
from pdp.core.rows.approvals import Account
from pdp.v1 import types_pb2 as t
from pdp.wire.grpc.codec import approvals


def test_an_approver_is_told_the_sentence_of_the_policys_author() -> None:
    said = {**element(), "message": "Ask the owner of the branch first."}
    for wanted, sentence in ((said, "Ask the owner of the branch first."), (element(), "")):
        found = view(approval(wanted), None, (), person("bob"), standing())
        assert found is not None
        assert approvals.listed(found, DIRECTORY).policy_message == sentence


def test_a_human_is_named_by_the_first_account() -> None:
    sue = MEMBERS[0]
    first = sue.accounts[0]
    assert approvals.human(sue.id, DIRECTORY) == t.Principal(issuer=first.issuer, id=first.id, name="Sue")


def test_a_human_without_account_or_place_in_the_directory_has_an_id_all_the_same() -> None:
    bare = directory(replace(MEMBERS[0], accounts=()))
    assert approvals.human("h-sue", bare) == t.Principal(id="h-sue", name="Sue")
    assert approvals.human("h-gone", bare) == t.Principal(id="h-gone")


def test_an_account_has_an_issuer_and_an_id() -> None:
    assert approvals.account(t.Principal(issuer="https://idp", id="sue"), "who") == Account("https://idp", "sue")
    for part, given in (("issuer", t.Principal(id="sue")), ("id", t.Principal(issuer="https://idp"))):
        with pytest.raises(InvalidRequest) as caught:
            approvals.account(given, "who")
        assert caught.value.field == f"who.{part}"
