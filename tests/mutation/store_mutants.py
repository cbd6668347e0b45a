"""Bugs planted in the store: in steps, which decide every race, and in what holds an entry together."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/store/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


STEPS = _in(
    "people/steps",
    ("step-after-expiry", "moved.where(c.expires_ns > now) if taken.timely else moved", "moved", "I5"),
    (
        "step-on-another-version",
        "if row is None or row.version != step.version:",
        "if row is None:",
        "I7: a change is of the row that it was decided on",
    ),
    (
        "step-expects-nothing",
        "if (active, _high_water(db, SWITCH_EPOCH)) != (step.policy_digest, step.switch_epoch):",
        "if False:",
        "I4: policy and switches are those of the decision",
    ),
    ("steps-forget-time", "    if latest > before:", "    if False:", "I5: what expired stays expired"),
    (
        "grant-of-another-version",
        "update(t.grants).where(c.id == grant_id, c.version == version, ",
        "update(t.grants).where(c.id == grant_id, ",
        "I2",
    ),
    ("grant-is-never-used-up", "(c.used + 1 >= c.uses)", "(c.used > c.uses)", "I2"),
    ("consent-after-its-end", "c.version == version, c.ended_ns == 0)", "c.version == version)", "I5"),
    (
        "question-open-twice",
        'if db.execute(open_ones.where(mine, t.approvals.c["index"] == a.index)).scalar_one():',
        "if False:",
        "one open request for one question",
    ),
    ("vote-is-not-kept", "    if step.vote is not None:", "    if False:", "I8"),
    ("outcome-is-overwritten", 'if known not in {None, "unknown"}:', "if False:", "an outcome is noted once"),
    ("older-sight-wins", "if at is None or at <= step.seen.at_ns:", "if True:", "claims are those of the last sight"),
)
ENTRIES = (
    *_in("people/erasing", ("said-stays", 'values(reason="", grant=b"")', "values(grant=b'')", "erasure is whole")),
    *_in(
        "people/erasing",
        ("grant-keeps-bounds", "_NOTHING, version=c.version + 1", "_NOTHING", "erasure is decided on"),
    ),
    *_in(
        "writer",
        ("fault-leaves-rows", "undo=isinstance(result, Fault)", "undo=False", "an entry is whole or not there"),
    ),
    *_in(
        "ledger",
        (
            "fault-leaves-a-gap",
            "            self._next, self._latest_ns",
            "            _, self._latest_ns",
            "indexes are dense",
        ),
    ),
)
_WAITS = "what waits, or is in force, is kept"
FORGETTING = _in(
    "people/forgetting",
    ("undelivered-goes", "select(c.id).where(c.done_ns > 0)", "select(c.id)", _WAITS),
    ("verdict-in-force-goes", "oldest.where(c.expires_ns < before_ns)", "oldest", _WAITS),
    ("waiting-request-loses-its-text", "resolved_ns.between(1,", "resolved_ns.between(0,", _WAITS),
    ("reasons-stay", 'values(reason="", grant=b"")', "values(grant=b'')", "what is forgotten is forgotten whole"),
)
STORE = (*STEPS, *ENTRIES, *FORGETTING)
