"""Extensions that make builtins of the embedded engine answer as OPA does, by OPA's own answers."""

from __future__ import annotations

import json
from typing import Any

from support.for_each import for_each

from pdp.policy.embedded.regorus_binding import new_engine

ERROR = object()


def value(call: str, *arguments: Any) -> Any:
    engine = new_engine()
    handed = ", ".join(f"input[{i}]" for i in range(len(arguments)))
    engine.add_policy("test.rego", f"package test\n\np := {call}({handed})\n")
    engine.set_input_json(json.dumps(arguments))
    try:
        return json.loads(engine.eval_rule_as_json("data.test.p"))
    except RuntimeError:
        return ERROR


@for_each(
    ("text", "low", "high"),
    [
        ("", "", ""),
        ("Straße", "straße", "STRAßE"),
        ("\u0130", "i", "\u0130"),
        ("\u0131", "\u0131", "I"),
        ("\u0391\u03a3", "\u03b1\u03c3", "\u0391\u03a3"),
        ("\ufb01", "\ufb01", "\ufb01"),
        ("\u1fb3", "\u1fb3", "\u1fbc"),
        ("\U00010400\U0001f600", "\U00010428\U0001f600", "\U00010400\U0001f600"),
        ("\u0378", ERROR, ERROR),  # not assigned
        ("\ua7cb", ERROR, ERROR),  # too new
        (5, ERROR, ERROR),
        (None, ERROR, ERROR),
    ],
)
def test_letter_case(text: Any, low: Any, high: Any) -> None:
    assert (value("lower", text), value("upper", text)) == (low, high)


@for_each(
    ("cidr", "other", "expected"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.5/8", "10.0.0.1", True),
        ("10.0.0.0/8", "::ffff:10.0.0.1", True),
        ("10.0.0.0/8", "::ffff:a00:1", True),
        ("10.0.0.0/8", "::10.0.0.1", False),
        ("0.0.0.0/0", "::1", False),
        ("::/0", "10.0.0.1", False),
        ("::ffff:0:0/96", "10.0.0.1", True),
        ("::ffff:10.0.0.0/104", "10.9.9.9", True),
        ("::ffff:10.0.0.0/90", "10.9.9.9", False),
        ("2001:db8::/32", "2001:db8::1", True),
        ("10.0.0.0/8", "10.1.0.0/16", True),
        ("10.0.0.0/8", "10.0.0.0/7", False),
        ("10.0.0.0/8", "::ffff:10.1.0.0/112", True),
        ("10.0.0.0/8", "2001:db8::/32", False),
        ("10.0.0.0/8", "10.1", ERROR),
        ("10.0.0.0/8", "010.0.0.1", ERROR),
        ("10.0.0.0/8", " 10.0.0.1", ERROR),
        ("10.0.0.0/8", "fe80::1%eth0", ERROR),
        ("10.0.0.0/8", "10.0.0.0/33", ERROR),
        ("10.0.0.0/8", "10.0.0.0/255.0.0.0", ERROR),
        ("10.0.0.0/8", "", ERROR),
        ("10.0.0.0/8", 5, ERROR),
        ("10.0.0.0", "10.0.0.1", ERROR),
        ("10.0.0.0/-1", "10.0.0.1", ERROR),
        (None, "10.0.0.1", ERROR),
    ],
)
def test_ranges_of_addresses(cidr: Any, other: Any, expected: Any) -> None:
    assert value("net.cidr_contains", cidr, other) == expected
