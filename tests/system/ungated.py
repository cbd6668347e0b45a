"""Policies that the load gate would not let pass, for `Served.activate`: what a test adds decides about everything
but `git_status`, which is allowed."""

from pdp.core.outcome.policy import Module

ALLOWS = """{
    "effect": "allow",
    "reasons": [{"code": "test.ok", "message": "", "rule": "test", "control": ""}],
    "requirements": [],
    "obligations": [],
    "visible": [input.targets[0].key],
    "hidden": [],
    "waived": [],
}"""
_HEAD = f"""package pdp

import rego.v1

tool := trim_prefix(input.targets[0].key, "tool:")
decision := {ALLOWS} if tool == "git_status"
"""
# an endless loop cannot be written in Rego; this one takes about as long as anybody would wait
FOREVER = "count({1 | some i in numbers.range(1, 9000); some j in numbers.range(1, 9000); i * j < 0})"


def rego(text: str = "") -> Module:
    """The module with these rules added."""
    return Module("pdp/main.rego", f"{_HEAD}{text}\n", shipped=True)
