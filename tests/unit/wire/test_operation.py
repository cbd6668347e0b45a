"""Codec of operators: what is refused before the service sees it."""

from typing import Any

import pytest
from support.for_each import for_each

from pdp.core.call.switches import QUARANTINE, SCOPES
from pdp.core.errors import InvalidRequest, Unsupported
from pdp.core.rows.log import RecordRef
from pdp.core.rows.switches import SwitchRow
from pdp.operate.admin import SwitchResult
from pdp.v1 import admin_pb2 as a
from pdp.wire.grpc.codec import admin, fields

REF = RecordRef("log", 0, b"h" * 32)


def switch(**changes: Any) -> Any:
    wanted = {"scope": a.SWITCH_SCOPE_TOOL, "server": "git", "value": "git_reset", "engaged": True} | changes
    return a.SetSwitchRequest(request_id="r", switch=a.Switch(**wanted))


@for_each("number", [n for n in a.SwitchScope.values() if n])
def test_each_scope_is_one_of_the_core(number: Any) -> None:
    assert admin.switch_ask(switch(scope=number)).scope == a.SwitchScope.Name(number)[13:].lower()


def test_all_scopes_can_be_named() -> None:
    assert len({*SCOPES, QUARANTINE}) == len(a.SwitchScope.values()) - 1


@for_each(
    ("field", "request_"),
    [
        ("request_id", a.SetSwitchRequest(switch=switch().switch)),
        ("switch", a.SetSwitchRequest(request_id="r")),
        ("switch.scope", switch(scope=a.SWITCH_SCOPE_UNSPECIFIED)),
        ("switch.scope", switch(scope=99)),
        ("switch.server", switch(server="a\x00")),
        ("switch.value", switch(value="x" * 513)),
        ("switch.reason", switch(reason="x" * 1001)),
        ("switch.until", switch(until=fields.Timestamp(seconds=-5))),
        ("switch.until", switch(until=fields.Timestamp())),
    ],
)
def test_a_switch_without_shape_is_refused(field: Any, request_: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        admin.switch_ask(request_)
    assert refused.value.field == field


def test_a_switch_comes_back_as_it_is() -> None:
    row = SwitchRow("acme", "tool", "git", "git_reset", True, "why", "ops", 7, 9)
    found = admin.switch_response(SwitchResult(row, 4, REF))
    s = found.switch
    assert (s.scope, s.server, s.value, s.engaged, s.reason) == (a.SWITCH_SCOPE_TOOL, "git", "git_reset", True, "why")
    assert (s.set_by, s.tenant, s.set_at.nanos, s.until.nanos, found.switch_epoch) == ("ops", "acme", 7, 9, 4)
    assert not admin.switch_response(
        SwitchResult(SwitchRow("", "everything", "", "", False, "", "ops", 7), 5, REF)
    ).switch.HasField("until")


def test_parts() -> None:
    assert admin.parts(a.ReloadRequest()) == ()
    wanted = [a.RELOAD_PART_KEYS, a.RELOAD_PART_POLICY, a.RELOAD_PART_KEYS, a.RELOAD_PART_REGISTRY]
    assert admin.parts(a.ReloadRequest(parts=wanted)) == ("keys", "policy", "registry")


@for_each(
    ("part", "kind"),
    [(a.RELOAD_PART_UNSPECIFIED, InvalidRequest), (99, InvalidRequest)]
    + [(p, Unsupported) for p in (a.RELOAD_PART_PROMPTS,)],
)
def test_parts_that_cannot_be_read(part: Any, kind: Any) -> None:
    with pytest.raises(kind, match=r"parts\[1\]"):
        admin.parts(a.ReloadRequest(parts=[a.RELOAD_PART_KEYS, part]))
