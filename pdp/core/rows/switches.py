"""Rows of switches and of revocations."""

from __future__ import annotations

from pdp.core.frozen import frozen


@frozen
class SwitchRow:
    """One kill switch. `scope` is everything | tenant | server | tool | agent | subject."""

    tenant: str  # "" for every tenant (only with scope everything)
    scope: str
    server: str  # for scope server and tool, else ""
    value: str  # tool name, agent id, subject id; "" for everything, tenant and server
    engaged: bool
    reason: str
    by: str
    at_ns: int
    until_ns: int = 0  # 0 = until it is released


@frozen
class RevocationRow:
    """Tokens with one mark, by its keyed index, that were issued until an instant; when the last of them has expired.
    Of a row that comes again the later instants stay."""

    index: str
    tenant: str
    event: str
    by: str  # the transmitter
    until_issued_ns: int
    until_ns: int
