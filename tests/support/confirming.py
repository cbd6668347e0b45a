"""A policy that wants confirmations: for git_show a client's word is enough, for git_status of /signed it is not."""

from __future__ import annotations

import shutil
from pathlib import Path

from pdp.policy.bundle import shipped_rego

PACK = """
# METADATA
# title: Confirmations
# description: What the user has to confirm, and how surely.
package packs.sure

meta := {"servers": ["git"], "owner": "security@acme.example"}

# METADATA
# title: A client's word
# description: It is enough for a look at a revision.
require contains {
	"kind": "confirmation",
	"id": "sure.show",
	"code": "sure.show",
	"control": "",
	"stage": 1,
	"ttl_seconds": 900,
	"min_assurance": "client_asserted",
} if {
	some t in input.targets
	t.name == "git_show"
}

# METADATA
# title: A sign-in
# description: It takes one to confirm this.
require contains {
	"kind": "confirmation",
	"id": "sure.status",
	"code": "sure.status",
	"control": "",
	"stage": 1,
	"ttl_seconds": 900,
	"min_assurance": "signed_in",
} if {
	some t in input.targets
	t.name == "git_status"
	input.arguments.value.repo_path == "/signed"
}
"""
TESTS = """
package sure_test

import data.lib.testing
import data.packs.sure

asks(name, path) := testing.call({
	"subject": {"groups": ["developers"]},
	"arguments": {"value": {"repo_path": path}},
	"targets": [testing.tool({"name": name, "key": sprintf("tool:%s", [name])})],
})

test_show_is_confirmed if {
	testing.codes(sure.require) == {"sure.show"} with input as asks("git_show", "/src")
}

test_status_is_confirmed if {
	testing.codes(sure.require) == {"sure.status"} with input as asks("git_status", "/signed")
}

test_nothing_else_is if {
	sure.require == set() with input as asks("git_status", "/src")
}
"""


def confirming(folder: Path) -> Path:
    """The shipped example with this pack."""
    shutil.copytree(shipped_rego() / "examples" / "acme", folder)
    pack = folder / "packs" / "sure"
    pack.mkdir()
    (pack / "sure.rego").write_text(PACK)
    (pack / "sure_test.rego").write_text(TESTS)
    return folder
