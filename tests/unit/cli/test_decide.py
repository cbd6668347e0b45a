"""What `pdp decide` prints of an answer: nothing of it moves a terminal's cursor, or cannot be seen."""

from pdp.cli.decide import _lines
from pdp.client import Decision, Pending, Reason, Requirement

TRICK = "a\x1b[2K\u202eb"
SHOWN = "a⟨U+001B⟩[2K⟨U+202E⟩b"


def test_no_word_of_an_answer_deceives() -> None:
    wanted = Requirement("r", "approval", TRICK, TRICK, TRICK, None)
    found = Decision(False, "pending", "q", (Reason(TRICK, TRICK, TRICK),), "", pending=Pending((wanted,), "", 1.0))
    assert list(_lines(found)) == [
        "PENDING",
        f"  because  {SHOWN}  {SHOWN}  [{SHOWN}]",
        f"  wants    approval: {SHOWN}, code {SHOWN}, at {SHOWN}",
    ]
