"""From settings to a running process. Knows everyone; decides nothing."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pdp import __version__
from pdp.content import ArgumentContent
from pdp.core.call.registered import Admits
from pdp.core.check import NS
from pdp.core.errors import ConfigurationFault, Conflict, Fault, Unavailable
from pdp.core.outcome.answer import Terms
from pdp.core.ports import Judge
from pdp.core.ports.telemetry import SILENT, Telemetry
from pdp.decide.admission import Admission, Limits, WorkerCrashQuota
from pdp.decide.batch import Batch
from pdp.decide.commit import CLOCK, Recorder
from pdp.decide.decide import Decide
from pdp.decide.explain import Explain
from pdp.decide.facts import FactBuilder
from pdp.decide.filter import Filter
from pdp.decide.idempotency import Idempotency
from pdp.decide.inspect import HeldBytes, Inspect
from pdp.decide.kind import Kinds
from pdp.decide.proposals import Mandates
from pdp.decide.pseudonyms import ERASURES
from pdp.decide.results import ResultFacts
from pdp.decide.sessions import EndSession, RememberedTokens, SessionSweep
from pdp.decide.shadow import ShadowPolicies
from pdp.decide.shares import Shares
from pdp.decide.state import ServiceState
from pdp.host import feature
from pdp.host.event_loop import unless
from pdp.host.part import Part, Step
from pdp.host.system import settle
from pdp.identity.authentication import Authentication
from pdp.identity.revocations import Revocations, UnrevokedSubjects
from pdp.identity.security_events import SignalOptions, marks
from pdp.operate.admin import Admin
from pdp.operate.erasure import Erasures
from pdp.operate.reload import Reloads
from pdp.operate.runs import Runs
from pdp.policy.source import Host, KeptBundles
from pdp.proof.records import Records
from pdp.proof.search import Readings, Search
from pdp.registry.load import SignedRegistry
from pdp.registry.release import releases_in_force
from pdp.runtime import background, features
from pdp.runtime.approvals import WiredApprovals, recognised, wire_approvals
from pdp.runtime.archive import archiving_part
from pdp.runtime.background import Supervisor
from pdp.runtime.config.certificates import refuse_trials
from pdp.runtime.config.settings import Settings, store_password
from pdp.runtime.environment import SYSTEM, Environment, index_key_of
from pdp.runtime.instruments import (
    Levels,
    Losses,
    Ports,
    fact_builder,
    observed,
    wire_telemetry,
)
from pdp.runtime.log_process import LogProcess, PublishedBeside, record_key
from pdp.runtime.policy import shadows, wire_policy
from pdp.runtime.renewal import server_tls, signers_keys
from pdp.runtime.restored import finished
from pdp.runtime.secrets.reference import secret, secrets_read
from pdp.runtime.shared_sessions import shared_sessions
from pdp.runtime.signed_log import read_archive
from pdp.sessions.stored import StoredSessions
from pdp.store.clock import StoreClock
from pdp.store.opening import AnyStore, open_store
from pdp.store.writer import UNAVAILABLE
from pdp.wire.grpc.server import GrpcServer, StartingServer
from pdp.wire.grpc.servicer import Services

if TYPE_CHECKING:
    from pdp.sessions.on_redis import RedisSessions


@dataclass(slots=True)
class Process:
    """One running PDP: everything wired."""

    settings: Settings
    state: ServiceState
    store: AnyStore
    clock: StoreClock
    host: Host
    recorder: Recorder
    runs: Runs
    reloads: Reloads
    admin: Admin
    services: Services
    server: GrpcServer
    levels: Levels
    approvals: WiredApprovals
    judge: Judge | None
    readings: Readings
    background: Supervisor
    log: LogProcess
    signed: PublishedBeside | None
    redis: RedisSessions | None
    shadows: ShadowPolicies
    content: ArgumentContent
    secrets_read: tuple[str, ...] = ()  # names of settings


if TYPE_CHECKING:
    from pdp.sessions.on_redis import RedisSessions

T = TypeVar("T")

log = logging.getLogger("pdp")
PROMPTS_SECONDS = 5.0  # at least, between looks at the judge's prompts: reading them all takes a while
SIGN_SECONDS = 5.0  # at most, for the last records of a run
LOCKED_SECONDS = 60.0  # at most, until a start is let write


async def build(settings: Settings, environment: Environment = SYSTEM) -> Process:
    """Wire a process. Raises ConfigurationFault for what cannot work, Fault `store.rollback` for a store that lacks
    records of which a checkpoint was signed; nothing is served yet."""
    with secrets_read() as names:
        process = await _opened(settings, environment)
    renewed = tuple(each for part in process.background.parts for each in part.renews)
    process.reloads.secrets = (*renewed, *process.reloads.secrets)
    process.secrets_read = tuple(sorted({*names, *(each.name for each in renewed)}))
    return process


async def _opened(settings: Settings, environment: Environment) -> Process:
    if settings.production:
        refuse_trials(settings)
    store = await _store(settings, environment)
    telemetry: Telemetry = SILENT
    left: list[Step] = [store.close]
    try:
        await _unlocked(settings, lambda: finished(store))
        key = index_key_of(settings, environment.entropy)
        index_key = await _unlocked(settings, lambda: recognised(settings, store, key))
        read_archive(settings.audit, store)
        consumers = LogProcess(settings, store, store_password(settings), index_key, environment.consumers)
        left.append(consumers.close)
        await consumers.begin()  # it starts while all else is wired
        telemetry = environment.telemetry or wire_telemetry(settings, environment.monotonic, store.boot)
        left.append(partial(asyncio.to_thread, telemetry.close))
        redis = shared_sessions(settings, store, environment, telemetry, index_key)
        process = _build(settings, store, environment, telemetry, index_key, consumers, redis)
        left = [part.close for part in process.background.parts]
        await consumers.open()  # before anything is recorded
    except BaseException:
        for close in reversed(left):
            await close()
        raise
    return process


async def _store(settings: Settings, environment: Environment) -> AnyStore:
    """The store; where its database is away, once it is back. Meanwhile the process says that it lives."""
    options, entropy = settings.store, environment.entropy
    opening, said = partial(open_store, options, entropy=entropy, password=store_password(settings)), ""
    async with AsyncExitStack() as waiting:
        while True:
            try:
                return await _whole(asyncio.to_thread(opening)) if said else opening()
            except Unavailable as fault:
                if fault.code != "store.away":
                    raise
                if not said:
                    server = StartingServer(settings.server, entropy)
                    await server.start()
                    waiting.push_async_callback(server.close)
                if fault.message != said:
                    said = fault.message
                    log.warning("waiting for the database: %s", said)
            await asyncio.sleep(options.probe_seconds)


async def _unlocked(settings: Settings, write: Callable[[], Awaitable[T]]) -> T:
    """What a start writes first; again where another session of the database has the log's head locked meanwhile."""
    until = asyncio.get_running_loop().time() + LOCKED_SECONDS
    while True:
        try:
            return await write()
        except Conflict:
            raise
        except Unavailable as fault:
            if settings.store.url is None or fault.code != UNAVAILABLE or asyncio.get_running_loop().time() > until:
                raise
            log.warning("waiting until records can be written: %s", fault.message)
        await asyncio.sleep(settings.store.probe_seconds)


async def _whole(opening: Coroutine[Any, Any, AnyStore]) -> AnyStore:
    """What a thread opens; nothing of it is left open where nobody waits any more."""
    task = asyncio.ensure_future(opening)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(Fault):
            await (await task).close()
        raise


def _judge(settings: Settings, environment: Environment, telemetry: Telemetry, admits: Admits | None) -> Judge | None:
    """The judge, its process not yet running; None where none is configured, and then nothing of one is loaded."""
    if settings.judge is None:
        return None
    from pdp.runtime.judge import wire_judge  # noqa: PLC0415 - prompts, their parser and a process of its own

    return wire_judge(
        settings,
        settings.judge,
        entropy=environment.entropy,
        monotonic=environment.monotonic,
        telemetry=telemetry,
        admits=admits,
    )


def _build(  # noqa: PLR0913, PLR0917 - what it rests on
    settings: Settings,
    store: AnyStore,
    environment: Environment,
    telemetry: Telemetry,
    index_key: bytes,
    consumers: LogProcess,
    redis: RedisSessions | None,
) -> Process:
    entropy = environment.entropy
    clock = StoreClock(environment.wall, environment.monotonic, store.high_water(CLOCK))
    signals = settings.given(SignalOptions)
    marked = {} if signals is None else marks(signals.streams)
    identity = Authentication(settings.identity, production=settings.production, marks=marked)
    state = ServiceState(store)
    revocations = Revocations(partial(attrgetter("switches.revoked"), state), index_key)
    subjects = UnrevokedSubjects(identity.subjects, revocations)
    registry = SignedRegistry(settings.registry, high_water=store.high_water)
    content = ArgumentContent(settings.content)
    sessions, losses = StoredSessions(settings.sessions, index_key), Losses(telemetry)
    releases = releases_in_force(settings.release, store.high_water, clock.now_ns())
    admits = releases.admits if releases is not None else None
    policy = wire_policy(settings, environment, telemetry, losses, admits)
    ports = Ports(identity.callers, subjects, content, store, policy.source)
    ports = observed(telemetry, ports, store)
    recorder = Recorder(ports.store, clock, entropy, boot=store.boot, index_key=index_key)
    options = settings.service
    limits = Limits(options.max_in_flight, options.max_waiting, options.min_budget_ms)
    terms = Terms(options.allow_seconds, options.list_seconds)
    shares = Shares(options.shares.each(), options.max_in_flight, clock, telemetry)
    admission = Admission(ports.callers, recorder, clock, limits, shares)
    judge = environment.judge or _judge(settings, environment, telemetry, admits)
    prompts = judge.prompts if judge is not None else dict
    kinds = Kinds(erasures=partial(store.high_water, ERASURES), prompts=prompts)
    keyed: dict[str, Any] = {"entropy": entropy, "index_key": index_key, "judge": judge, "kinds": kinds}
    keyed["renew_ns"] = settings.store.longest_ttl_seconds * NS // 4
    keyed["max_fact_bytes"] = settings.content.max_fact_bytes
    facts = fact_builder(telemetry, ports.subjects, ports.content, sessions, **keyed)
    idempotency = Idempotency(index_key)
    crash_quota = WorkerCrashQuota()
    approvals = wire_approvals(
        settings,
        ports.store,
        state,
        subjects,
        facts,
        recorder,
        idempotency,
        clock,
        entropy=entropy,
        index_key=index_key,
        revocations=revocations,
        judge=judge,
        telemetry=telemetry,
        admits=admits,
    )
    reloads = Reloads(
        state,
        ports.policies,
        registry,
        subjects,
        identity.refresh,
        recorder,
        clock,
        approvals.directories,
        releases,
    )
    shadowing = shadows(settings, environment, recorder, clock, telemetry)
    admin = Admin(
        state,
        reloads,
        registry,
        subjects,
        store,
        recorder,
        clock,
        __version__,
        index_key,
        lambda: losses.count,
        lambda: policy.answers.status,
        lambda: kinds.status,
        tuple(options.caller(name) for name, options in settings.identity.callers.items()),
        judge,
        shadowing.status,
        lambda: consumers.problem,
    )
    evidence = environment.evidence or approvals.evidence
    decide = Decide(
        state,
        facts,
        idempotency,
        evidence,
        approvals.resolve,
        recorder,
        clock,
        crash_quota,
        terms,
        shares,
    )
    readings = Readings(recorder, clock)
    consumers.telemetry = telemetry
    services = Services(
        admission=admission,
        decide=decide,
        batch=Batch(decide),
        filter=Filter(state, facts, recorder, clock, crash_quota, terms, shares),
        admin=admin,
        reloads=reloads,
        records=Records(
            store,
            readings,
            consumers.signed,
            None if consumers.index is None else Search(store, consumers.index, index_key),
        ),
        erasures=Erasures(ports.store, recorder, clock, index_key),
        explain=Explain(
            state,
            FactBuilder(subjects, content, sessions, **keyed),
            evidence,
            KeptBundles(policy.replaying),
            store,
            recorder,
            clock,
            crash_quota,
        ),
        waiting=approvals.waiting,
        outcomes=approvals.outcomes,
        inspect=Inspect(
            state,
            store,
            ResultFacts(content, sessions),
            facts,
            decide.idempotency,
            recorder,
            clock,
            crash_quota,
            index_key,
            settings.content.max_result_bytes,
            settings.content.max_inspections,
            HeldBytes(settings.content.max_results_bytes),
            shares,
        ),
        mandates=Mandates(store, state, ports.subjects, sessions, facts, recorder, clock),
        end_session=EndSession(store, state, ports.subjects, sessions, recorder, clock, approvals.notifications),
        approvals=approvals.services,
        telemetry=telemetry,
    )

    supervisor = background.Supervisor()
    wired = tuple(
        features.wire(
            feature.Ports(
                settings,
                partial(secret, vault=settings.vault),
                ports.store,
                clock,
                entropy,
                telemetry,
                index_key,
                supervisor.answers,
                (identity, recorder, revocations, services, approvals.services, services.records, reloads),
            )
        )
    )
    server = GrpcServer(
        settings.server,
        services,
        answers=supervisor.answers,
        entropy=entropy,
        reflection_on=not settings.production,
        telemetry=telemetry,
        more=tuple(each for part in wired for each in part.serves),
    )
    levels = Levels(
        settings,
        telemetry,
        store,
        registry,
        subjects,
        approvals.directories,
        reloads,
        approvals.services.sweep.tenants,
        state.fleet,
        clock.now_ns(),
        releases,
    )
    reloads.secrets = tuple(signers_keys(settings, registry, releases))
    runs = Runs(recorder, ports.store, clock)
    idle_ns, lifetime_ns = settings.sessions.idle_seconds * NS, settings.sessions.lifetime_seconds * NS
    supervisor.parts = levels.parts = (
        Part("telemetry", close=partial(asyncio.to_thread, telemetry.close)),
        Part("store", ready=store.healthy, close=store.close),
        background.clock_part(clock, runs),
        *(() if redis is None else (redis.part,)),
        Part("identity", close=identity.close),
        Part("engines", close=policy.host.close),
        state.part,
        kinds.part,
        *background.watching(reloads, options.watch_seconds),
        shadowing.part,
        *background.judging(judge, settings.judge, max(PROMPTS_SECONDS, options.watch_seconds)),
        *approvals.parts(clock),
        Part("session ends", chore=SessionSweep(store, recorder, clock, idle_ns)),
        Part("remembered tokens", chore=RememberedTokens(ports.subjects, clock, idle_ns, lifetime_ns)),
        Part("content", close=content.close),
        runs.part,
        readings.part,
        levels.part(clock),
        archiving_part(settings, store, recorder, clock),
        *consumers.parts(recorder, clock),
        Part("server", renews=server_tls(settings.server.tls, server.tls)),
        *wired,
    )
    return Process(
        settings,
        state,
        store,
        clock,
        policy.host,
        recorder,
        runs,
        reloads,
        admin,
        services,
        server,
        levels,
        approvals,
        judge,
        readings,
        supervisor,
        consumers,
        consumers.signed,
        redis,
        shadowing,
        content,
    )


async def start(process: Process) -> None:
    """Load what answers rest on, record the start, and serve. Raises Fault when there is nothing to serve with."""
    store, settings = process.store, process.settings
    for part in process.background.parts:
        await part.prepare()
    fingerprint = settings.fingerprint()
    started = partial(process.runs.started, __version__, fingerprint)
    await _unlocked(settings, partial(started, clean=store.clean, secrets=process.secrets_read))
    await _unlocked(settings, lambda: process.runs.configured(fingerprint, settings.stated()))
    if process.signed is not None:
        key, recorder, at = process.signed.verifier, process.recorder, process.clock.now_ns()
        await _unlocked(settings, lambda: record_key(key, store, recorder, at))
    process.state.fleet.note("config", {"": settings.shared_fingerprint()})
    results, _ = await process.reloads((), by="")
    background.say_failures(results)
    await _until_there_is_policy(process)
    _warn_of_observed(settings)
    process.levels.warn(process.clock.now_ns())
    await process.server.start()
    for part in process.background.parts:
        await part.start()


def _warn_of_observed(settings: Settings) -> None:
    for name, caller in settings.identity.callers.items():
        if caller.observe is not None:
            log.warning("identity.callers.%s.observe: %s", name, caller.observe.said)


async def _until_there_is_policy(process: Process) -> None:
    """A remote OPA may start after the PDP, so loading is retried; no other fault is transient."""
    opa, said = process.settings.policy.opa, ""
    while process.state.policy is None:
        failure = process.reloads.policy_failure
        if failure is None:
            raise ConfigurationFault("policy.none", "There is no policy to serve with.")
        if failure.code != "bundle.engine" or opa is None or not opa.url:
            raise ConfigurationFault(failure.code, failure.message)
        if failure.message != said:
            said = failure.message
            log.warning("policy: waiting for the OPA at policy.opa.url to hold this bundle: %s", said)
        await asyncio.sleep(process.settings.service.watch_seconds)
        await process.reloads(("policy",), by="")


async def run(
    settings: Settings,
    environment: Environment = SYSTEM,
    *,
    ready: Path | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until `stop` where the process is another's; then drain. SIGHUP reloads.
    `ready` is touched when the first call can be answered."""
    reload = asyncio.Event()
    if stop is None:  # first of all: a start may wait for long, and SIGHUP would end it
        stop = asyncio.Event()
        for number, event in ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGHUP, reload)):
            asyncio.get_running_loop().add_signal_handler(number, event.set)
    process = await unless(stop, build(settings, environment))
    if process is None:
        return
    faults: list[Fault] = []
    try:
        await unless(stop, start(process))
        if stop.is_set():
            return
        settle()
        log.info("serving on %s", ", ".join(process.server.addresses))
        if ready is not None:
            await asyncio.to_thread(ready.touch)
        process.background.work(settings.service.watch_seconds)
        process.background.begin("reload", background.reload_at(reload, process.reloads))
        process.background.begin("log", _rolled_back(process.log, faults, stop))
        await stop.wait()
        if faults:
            raise faults[0]
    finally:
        await close(process, reason="signal" if stop.is_set() and not faults else "fault")


async def _rolled_back(consumers: LogProcess, faults: list[Fault], stop: asyncio.Event) -> None:
    """A store that a witness knows more of is served no longer."""
    faults.append(await consumers.rolled_back)
    stop.set()
    await asyncio.Event().wait()


async def close(process: Process, *, reason: str) -> None:
    """Drain, record the stop, and close everything."""
    process.background.close()
    process.admin.draining = True
    async with AsyncExitStack() as left:  # in reverse order, each even when another one fails
        for part in process.background.parts:
            left.push_async_callback(part.close)
        for part in process.background.parts:
            await part.drain()
        await process.server.drain()
        try:
            if process.store.healthy():
                await process.runs.refusals()
                await process.readings.flush(all_of_them=True)
                await process.runs.stopped(reason)
        except Fault as fault:
            log.error("the stop record could not be written: %s", fault.code)
        await _sign(process)


async def _sign(process: Process) -> None:
    """Cover the last records of the run, in bounded time."""
    if process.signed is None:
        return
    try:
        async with asyncio.timeout(SIGN_SECONDS):
            await process.signed.finish()
    except (TimeoutError, Fault):
        log.error("the last records could not be signed in time; the next start signs them")
