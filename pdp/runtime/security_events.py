"""Wiring of pushed security events: the streams, what their events come to, and the listener."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pdp.core.check import NS
from pdp.core.ports import Clock, Store
from pdp.core.ports.telemetry import Telemetry
from pdp.decide.commit import Recorder
from pdp.host.http_listener import listener_tls
from pdp.host.part import Part
from pdp.identity.revocations import Revocations
from pdp.identity.security_events import SignalStreams, marks
from pdp.identity.signals import Signals
from pdp.identity.signals_listener import SignalListener
from pdp.runtime.approvals import WiredApprovals
from pdp.runtime.config.settings import Settings
from pdp.runtime.secrets.reference import secret

_SLACK_SECONDS = 60  # no skew is larger


@dataclass(frozen=True, slots=True)
class WiredSignals:
    """The receiver of a process."""

    streams: SignalStreams
    listener: SignalListener

    @property
    def part(self) -> Part:
        """What a running process does with it."""
        return replace(self.listener.part, close=self.streams.close)


def check(settings: Settings) -> None:
    """Read what the section names, and open nothing. Raises ConfigurationFault."""
    if settings.signals is not None:
        listener_tls(settings.signals, "signals")
        _streams(settings)


def claims(settings: Settings) -> dict[str, dict[str, str]]:
    """By issuer: claims by which tokens are revoked, by kind of mark."""
    return {} if settings.signals is None else marks(settings.signals.streams)


def wire(  # noqa: PLR0913, PLR0917 - what it rests on
    settings: Settings,
    store: Store,
    recorder: Recorder,
    revocations: Revocations,
    approvals: WiredApprovals,
    clock: Clock,
    telemetry: Telemetry,
) -> WiredSignals | None:
    """The receiver, not yet started; None where none is configured. Raises ConfigurationFault."""
    if settings.signals is None:
        return None
    streams = _streams(settings)
    longest = _longest_seconds(settings), settings.store.longest_ttl_seconds
    keep_ns, votes_ns = ((seconds + _SLACK_SECONDS) * NS for seconds in longest)
    revoked, key = approvals.services.sweep.revoked, revocations.index_key
    take = Signals(streams.read, store, recorder, revocations, revoked, clock, key, keep_ns, votes_ns, telemetry)
    options = settings.signals
    tls = listener_tls(options, "signals")
    return WiredSignals(streams, SignalListener(options.listen, options.path, tls, take))


def _longest_seconds(settings: Settings) -> int:
    """The longest that a token lasts, or a sign-in at the console."""
    tokens = (issuer.max_lifetime_seconds for issuer in settings.identity.issuers)
    console = 0 if settings.console is None else settings.console.session_minutes * 60
    return max(console, *tokens)


def _streams(settings: Settings) -> SignalStreams:
    options = settings.signals
    return SignalStreams(
        options.streams if options is not None else (),
        settings.identity,
        production=settings.production,
        secret=lambda reference, where: secret(reference, settings.vault, where=where, at_least=16),
    )
