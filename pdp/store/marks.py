"""High-water marks that only the store itself sets."""

from __future__ import annotations

SWITCH_EPOCH = "switch_epoch"  # counts changes of switches
PEOPLE_INSTANT = "people_instant"  # the latest instant that any committed step had
OWN = frozenset({SWITCH_EPOCH, PEOPLE_INSTANT})
