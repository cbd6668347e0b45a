"""Servers of the bench that lack a promise lack that one, and no other."""

import subprocess
import sys

import pytest

from devtools.bench.measure import PROMISES

SAID = """
import sys
from devtools.bench import without
from pdp.decide.kind import Kinds
from pdp.policy.kept import KeptAnswers
from pdp.runtime.log_process import LogProcess
from pdp.store.sqlite import opening

def state():
    return opening.WRITER_PRAGMAS, (Kinds.due, KeptAnswers.due), LogProcess.run

before = state()
without.GIVE_UP[sys.argv[1]]()
print(*[name for name, one, other in zip(("synced", "compared", "followed"), before, state()) if one != other])
print("PRAGMA synchronous=FULL" in opening.WRITER_PRAGMAS, "PRAGMA synchronous=OFF" in opening.WRITER_PRAGMAS)
"""


@pytest.mark.parametrize("promise", [*PROMISES, "followed"])
def test_a_server_lacks_the_promise_that_is_named_and_no_other(promise: str) -> None:
    done = subprocess.run([sys.executable, "-c", SAID, promise], capture_output=True, text=True, check=True)
    changed, synced = done.stdout.splitlines()
    assert changed == promise
    assert synced == ("False True" if promise == "synced" else "True False")
