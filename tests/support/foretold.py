"""What a store says of a call once something else was committed: the model that stores are tested against."""

from __future__ import annotations

from dataclasses import replace

from pdp.core.call.sessions import SessionEffects, ordered, together
from pdp.core.call.stored import CallKeys, StoredCall
from pdp.core.rows.sessions import AtomRow, SessionRow


def _joined(session: SessionRow, row: SessionRow) -> SessionRow:
    """A session after a change that the store takes; it refuses one of what has ended."""
    if row.state == "open":
        return together(session, row) or session
    found = together(session, replace(row, state="open")) or session
    return replace(found, state=row.state, over_ns=row.over_ns) if session.state == "open" else found


def after(stored: StoredCall, keys: CallKeys, effects: SessionEffects) -> StoredCall:
    """What the store would say of a call once something else was committed."""
    session, row = stored.session, effects.session
    if row is not None and row.index == keys.session:
        over = session is None or session.over_ns <= row.used_ns
        session = row if session is None or over else _joined(session, row)
    pairs = _places(replace(stored, session=session), keys) | ({keys.also} - {""})
    labels, awaited = stored.labels, stored.awaited
    for change in effects.pairs:
        if change.reset:
            labels = tuple(each for each in labels if each.pair != change.pair)
            awaited = 0 if pairs <= {change.pair, keys.also} else awaited  # whose the others are is not known here
        if change.pair in pairs:
            awaited = max(0, awaited + len(change.awaits) - len(change.inspected))
    there = {(each.pair, each.label, each.shown): each for each in labels}
    for label in effects.labels:
        if label.pair in pairs:
            there.setdefault((label.pair, label.label, label.shown), label)
    atoms = atoms_after(stored, keys, effects) if keys.atoms else stored.atoms
    return replace(stored, session=session, labels=ordered(there.values()), atoms=atoms, awaited=awaited)


def atoms_after(stored: StoredCall, keys: CallKeys, effects: SessionEffects) -> frozenset[AtomRow]:
    """What the store would say of the atoms that the call asks for. What a memory brings back is not known here; only
    results do that."""
    places = _places(stored, keys)
    over = {effects.session.index} if effects.session is not None and effects.session.state != "open" else set()
    gone = {change.pair for change in effects.pairs if change.reset}
    rows = (row for row in stored.atoms if row.session not in over and row.place not in gone)
    found = {(row.place, row.session, row.atom): row for row in rows}
    for text in effects.seen:
        for atom in set(text.atoms).intersection(keys.atoms) if text.place in places else ():
            key = (text.place, text.session, atom)
            if key not in found or found[key].at_ns < text.since_ns:
                found[key] = AtomRow(*key, text.decision_id, text.at_ns)
    return frozenset(found.values())


def _places(stored: StoredCall, keys: CallKeys) -> frozenset[str]:
    """The pairs whose labels and atoms the store tells of a call."""
    trees = (each.tree for each in (stored.session, stored.parent) if each is not None)
    return frozenset({keys.pair, keys.tree, *trees} - {""})
