"""Records of what people do: what lies beside them, and what they refuse to say."""

import json

import pytest
from support import approvals as make
from support.pseudonyms import person

from pdp.core.approvals.steps import Move
from pdp.core.approvals.view import presented
from pdp.core.bytes.digest import canonical, commitment
from pdp.core.record import approvals as records
from pdp.core.record.encoding import Stamp
from pdp.core.rows.states import Event, State
from pdp.proof.check import check

STAMP = Stamp("example.org/log", make.make_id(1), make.AT, 0, "boot", make.TENANT, person)
REQUEST = make.approval()


def test_what_people_saw_is_committed_to() -> None:
    shown = make.shown(REQUEST)
    found = json.loads(records.opened(STAMP, REQUEST, shown))["request"]
    assert found["presented"] == presented(REQUEST, shown)
    assert found["call"]["session"] == commitment(make.SALT, "session", canonical("s-1"))
    text = str(found)
    assert "tidy up" not in text
    assert "main" not in text


def test_a_reason_lies_beside_its_record() -> None:
    vote = make.vote("bob", reason="because")
    move = Move(REQUEST.id, 1, Event.FILL, make.AT, vote=vote)
    record = records.moved(STAMP, REQUEST, move, salt=make.SALT)
    assert b"because" not in record
    (row,) = records.erasable("r", make.TENANT, "sue", make.SALT, reason=vote.reason)
    assert (row.record_id, row.tenant, row.subject, row.data) == ("r", make.TENANT, "sue", canonical("because"))
    assert json.loads(record)["vote"]["reason"] == commitment(row.salt, row.path, row.data)


def test_a_vote_says_when_its_sign_in_was_and_one_of_before_does_not() -> None:
    """By it a revocation is told to reach it; a record without it is as valid as it was."""
    for signed_in_ns, said in ((make.AT, make.AT), (0, None)):
        move = Move(REQUEST.id, 1, Event.FILL, make.AT, vote=make.vote("bob", signed_in_ns=signed_in_ns))
        record = records.moved(STAMP, REQUEST, move, salt=make.SALT)
        assert json.loads(record)["vote"].get("signed_in_ns") == said
        assert check(record) == []


def test_a_move_says_how_it_was_resolved() -> None:
    for resolution in ("approved", ""):
        move = Move(REQUEST.id, 1, Event.FILL, make.AT, resolution=resolution)
        assert json.loads(records.moved(STAMP, REQUEST, move))["resolution"] == (resolution or None)


def test_what_was_not_said_lies_nowhere() -> None:
    assert records.erasable("r", make.TENANT, "sue", make.SALT) == ()


def test_no_text_is_committed_to_without_a_salt() -> None:
    """Whoever has the log could try reasons until one fits."""
    move = Move(REQUEST.id, 1, Event.FILL, make.AT, vote=make.vote("bob", reason="because"))
    with pytest.raises(ValueError, match="salt"):
        records.moved(STAMP, REQUEST, move)


def test_nothing_is_recorded_that_cannot_happen() -> None:
    with pytest.raises(ValueError, match="no transition"):
        records.moved(STAMP, make.approval(state=State.DENIED), Move(REQUEST.id, 1, Event.REDEEM, make.AT))
