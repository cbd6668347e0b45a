"""Forecast of votes: how often a policy would have asked people for an answer, by the calls of a recorded time. Pure.

Recorded calls are put through requests as the service would open them: identical calls attach, answers are spent by
one call, refusals hold for their cool-down, grants let further calls through. How people answer, how long they take,
and what agents do then is drawn from what was recorded of requests; where nothing was, it is assumed, and said.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any

from pdp.core.approvals.requirement import PEOPLE
from pdp.core.approvals.turned_down import NEVER, USUAL, TurnedDown
from pdp.core.check import NS
from pdp.core.digest import canonical

DAY_NS = 24 * 3600 * NS
ENOUGH = 20  # requests of one requirement, to go by them alone
SUBJECT = "(the subject)"  # who is asked for confirmations and consents
ASSUMED_DELAY_NS = 600 * NS

Draw = Callable[[], float]  # from 0 up to 1
_ANSWERS = {
    "approved": "met",
    "denied": "refused",
    "revoked": "refused",
    "expired": "expired",
    "cancelled": "expired",
}


@dataclass(frozen=True, slots=True)
class GrantTaken:
    """A grant that an approver gave; 0 and False: not bounded by that. `exact`: for the same arguments only."""

    lasts_ns: int
    uses: int
    session: bool
    exact: bool


@dataclass(frozen=True, slots=True)
class SettledRequest:
    """A recorded request of people, as it ended."""

    requirement: str  # id
    result: str  # "met" | "refused" | "expired"
    delay_ns: int
    spent: bool = False
    again_ns: int | None = None  # after which the same was asked about again; None: it was not
    offered: bool = False  # whether policy let approvers grant more
    grant: GrantTaken | None = None


@dataclass(frozen=True, slots=True)
class WantedCall:
    """One call that somebody wanted carried out, however often it was asked about. `stages` are the requirements of
    people that policy opens one after the other. `asker` is who asks for what tool, `like` the same for refusals."""

    at_ns: int
    digest: str
    asker: str
    session: str
    arguments: str
    stages: tuple[tuple[Mapping[str, Any], ...], ...]


@dataclass(frozen=True, slots=True)
class RecordedAttempt:
    """One recorded decision about a call, with what policy would want of it."""

    call: WantedCall
    allowed: bool  # as recorded


@dataclass(slots=True)
class VoteCount:
    """Votes that were asked for, by group, and requests opened."""

    votes: Counter[str] = field(default_factory=Counter)
    requests: int = 0


def seats_of(requirement: Mapping[str, Any]) -> dict[str, int]:
    """The votes that a requirement asks for, by group."""
    votes: Counter[str] = Counter()
    seats: Sequence[Mapping[str, Any]] = requirement.get("seats") or ({"group_id": SUBJECT, "n": 1},)
    for seat in seats:
        votes[seat["group_id"]] += seat["n"]
    return votes


def wanted_calls(attempts: Iterable[RecordedAttempt]) -> tuple[WantedCall, ...]:
    """Calls of attempts, which come in order: what is asked again within a day until it is allowed is one call."""
    calls: list[WantedCall] = []
    waiting: dict[str, tuple[int, int]] = {}  # by digest: place in calls, instant of the last attempt
    for attempt in attempts:
        call = attempt.call
        place, last_ns = waiting.get(call.digest, (-1, 0))
        if place < 0 or call.at_ns - last_ns > DAY_NS:
            calls.append(call)
            place = len(calls) - 1
        if attempt.allowed:
            waiting.pop(call.digest, None)
        else:
            waiting[call.digest] = place, call.at_ns
    return tuple(calls)


def settled(
    events: Iterable[Mapping[str, Any]], exact: Callable[[str], bool], until_ns: int
) -> tuple[SettledRequest, ...]:
    """Requests of approval and grant records, which come in order and end at `until_ns`. `exact` says of a grant's id
    whether it is for the same arguments only. Those of canaries are left out, and those that are open still."""
    log = _RequestLog(exact)
    for record in events:
        if record["kind"] == "grant":
            log.granted(record)
        elif record["event"] == "opened":
            log.opened(record)
        else:
            log.moved(record)
    log.lapsed(until_ns)
    return tuple(log.ended.values())


class _RequestLog:
    """Requests as their records tell of them, by id."""

    def __init__(self, exact: Callable[[str], bool]) -> None:
        self.ended: dict[str, SettledRequest] = {}
        self._exact = exact
        self._open: dict[str, tuple[int, str, Mapping[str, Any]]] = {}
        self._last: dict[tuple[str, bytes], tuple[str, int]] = {}  # by call and requirement: which ended, and when

    def opened(self, record: Mapping[str, Any]) -> None:
        if record["request"]["canary"]:
            return
        (requirement,), digest = record["requirements"], record["request"]["call"]["digest"]
        name, ended_ns = self._last.get((digest, canonical(requirement)), ("", 0))
        if name and self.ended[name].result != "met":
            self.ended[name] = replace(self.ended[name], again_ns=max(0, record["at_ns"] - ended_ns))
        self._open[record["approval_id"]] = record["at_ns"], digest, requirement

    def lapsed(self, until_ns: int) -> None:
        """Requests that nobody answered in time, and that nothing was recorded of since."""
        for name, (since_ns, _, requirement) in self._open.items():
            ttl_ns = requirement["ttl_seconds"] * NS
            if name not in self.ended and since_ns + ttl_ns <= until_ns:
                offered = requirement.get("grant") is not None
                self.ended[name] = SettledRequest(requirement["id"], "expired", ttl_ns, offered=offered)

    def moved(self, record: Mapping[str, Any]) -> None:
        name, event, at_ns = record["approval_id"], record["event"], record["at_ns"]
        if name in self.ended:
            if event == "redeemed":
                self.ended[name] = replace(self.ended[name], spent=True)
        elif name in self._open and event in _ANSWERS:
            since_ns, digest, requirement = self._open[name]
            offered = requirement.get("grant") is not None
            self.ended[name] = SettledRequest(requirement["id"], _ANSWERS[event], at_ns - since_ns, offered=offered)
            self._last[digest, canonical(requirement)] = name, at_ns

    def granted(self, record: Mapping[str, Any]) -> None:
        bounds = record["bounds"]
        if record["event"] != "issued" or bounds["approval_id"] not in self.ended:
            return
        lasts_ns = max(0, bounds["expires_ns"] - bounds["issued_ns"]) if bounds["expires_ns"] else 0
        session = bounds["session"] is not None
        taken = GrantTaken(lasts_ns, bounds["uses"], session, self._exact(record["grant_id"]))
        self.ended[bounds["approval_id"]] = replace(self.ended[bounds["approval_id"]], grant=taken)


class Habits:
    """How people and agents deal with requests, by those that were settled."""

    def __init__(self, found: Sequence[SettledRequest]) -> None:
        self.size = len(found)
        self._all = found
        self._of: dict[str, list[SettledRequest]] = defaultdict(list)
        for each in found:
            self._of[each.requirement].append(each)

    def like(self, requirement: str) -> Sequence[SettledRequest]:
        """Requests to go by: of the same requirement where there are enough, else all."""
        mine = self._of.get(requirement, [])
        return mine if len(mine) >= ENOUGH else self._all

    def draw(self, requirement: Mapping[str, Any], draw: Draw) -> SettledRequest:
        """How one more request goes: as one that was recorded, or as is assumed where none was."""
        known = self.like(requirement["id"])
        if not known:
            return SettledRequest(requirement["id"], "met", ASSUMED_DELAY_NS, spent=True)
        found = known[int(draw() * len(known))]
        offer = requirement.get("grant")
        if offer is None or found.result != "met":
            return replace(found, grant=None)
        if found.offered:
            return replace(found, grant=_within(found.grant, offer))
        givers = [each for each in self._all if each.offered and each.result == "met"]
        taken = givers[int(draw() * len(givers))].grant if givers else None
        return replace(found, grant=_within(taken, offer))


def _within(taken: GrantTaken | None, offer: Mapping[str, Any]) -> GrantTaken | None:
    """A grant as an approver may give it by this offer."""
    if taken is None:
        return None
    most_ns, uses = int(offer.get("minutes", 0)) * 60 * NS, int(offer.get("uses", 0))
    return replace(
        taken,
        lasts_ns=min(filter(None, (taken.lasts_ns, most_ns)), default=0),
        uses=min(filter(None, (taken.uses, uses)), default=0),
        session=taken.session or bool(offer.get("session")),
    )


@dataclass(slots=True)
class _Grant:
    until_ns: int  # 0: no end
    left: int  # uses; negative: any number
    session: str  # "": any
    arguments: str  # "": any


@dataclass(slots=True)
class _Request:
    """A request of one call and requirement. `until_ns`: when an answer comes, or it expires."""

    settled: SettledRequest
    kind: str
    key: bytes  # the requirement
    until_ns: int
    lapses_ns: int  # when an answer counts no more; of a refusal, the end of its cool-down
    taken: bool = False  # by a call that waits for it


class _Simulation:
    """One run of calls through requests: a queue of what happens, by time."""

    def __init__(self, habits: Habits, draw: Draw) -> None:
        self.counted = VoteCount()
        self._habits, self._draw = habits, draw
        self._queue: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = count()
        self._requests: dict[tuple[str, bytes], _Request] = {}
        self._grants: dict[tuple[str, bytes], list[_Grant]] = defaultdict(list)
        self._refused: dict[str, TurnedDown] = {}

    def run(self, calls: Iterable[WantedCall]) -> VoteCount:
        """Ask about each call, and again as its agent would."""
        for call in calls:
            self._later(call.at_ns, partial(self._ask, call, 0))
        while self._queue:
            at_ns, _, happen = heapq.heappop(self._queue)
            happen(at_ns)
        return self.counted

    def _later(self, at_ns: int, happen: Callable[[int], None]) -> None:
        heapq.heappush(self._queue, (at_ns, next(self._order), happen))

    def _ask(self, call: WantedCall, stage: int, at_ns: int) -> None:
        """A call is asked about: its stage is opened, unless another like it waits, or was refused."""
        if stage == len(call.stages):
            return
        wanted = [
            (each, key) for each in call.stages[stage] if not self._granted(call, key := canonical(each), at_ns)
        ]
        known = [request for _, key in wanted if (request := self._standing(call, key, at_ns)) is not None]
        waited_for = max((each.until_ns for each in known if each.taken), default=0)
        if waited_for > at_ns:
            self._later(waited_for, partial(self._ask, call, stage))  # one answer is for one call
            return
        if any(each.settled.result == "refused" and each.until_ns <= at_ns for each in known):
            return
        if len(known) < len(wanted) and USUAL.until(self._lately(call.asker, at_ns)) > at_ns:
            return
        mine = [self._standing(call, key, at_ns) or self._open(call, each, key, at_ns) for each, key in wanted]
        for request in mine:
            request.taken = True
        self._later(max([at_ns, *(each.until_ns for each in mine)]), partial(self._settle, call, stage, mine))

    def _settle(self, call: WantedCall, stage: int, mine: Sequence[_Request], at_ns: int) -> None:
        """All answers of a stage are there: the next one is opened, or its answers are spent; or it is over."""
        for request in mine:
            request.taken = False
        missed = [each.settled for each in mine if each.settled.result != "met"]
        if missed:
            if any(each.result == "refused" for each in missed):
                self._refused[call.asker] = TurnedDown(self._lately(call.asker, at_ns).refusals + 1, 0, at_ns)
            if missed[0].again_ns is not None:
                self._later(at_ns + missed[0].again_ns, partial(self._ask, call, stage))
            return
        for request in mine:
            self._grant(call, request, at_ns)
            if request.settled.spent:
                self._requests.pop((call.digest, request.key), None)
        self._ask(call, stage + 1, at_ns)

    def _standing(self, call: WantedCall, key: bytes, at_ns: int) -> _Request | None:
        """The request of a call and requirement that is open, or whose answer counts."""
        found = self._requests.get((call.digest, key))
        return found if found is not None and (found.taken or at_ns < found.lapses_ns) else None

    def _open(self, call: WantedCall, requirement: Mapping[str, Any], key: bytes, at_ns: int) -> _Request:
        ttl_ns = int(requirement["ttl_seconds"]) * NS
        drawn = self._habits.draw(requirement, self._draw)
        until_ns = at_ns + (ttl_ns if drawn.result == "expired" else min(drawn.delay_ns, ttl_ns))
        lapses_ns = until_ns + ttl_ns if drawn.result == "refused" else at_ns + ttl_ns
        self.counted.requests += 1
        self.counted.votes.update(seats_of(requirement))
        request = _Request(drawn, requirement["kind"], key, until_ns, lapses_ns)
        self._requests[call.digest, key] = request
        return request

    def _grant(self, call: WantedCall, request: _Request, at_ns: int) -> None:
        """What an answer lets through besides its call."""
        grant = request.settled.grant
        if request.kind == "consent":
            self._grants[call.asker, request.key].append(_Grant(0, -1, "", ""))
        elif grant is not None:
            until_ns = at_ns + grant.lasts_ns if grant.lasts_ns else 0
            session, arguments = call.session if grant.session else "", call.arguments if grant.exact else ""
            self._grants[call.asker, request.key].append(_Grant(until_ns, grant.uses or -1, session, arguments))

    def _granted(self, call: WantedCall, requirement: bytes, at_ns: int) -> bool:
        for grant in self._grants.get((call.asker, requirement), ()):
            timely = not grant.until_ns or at_ns < grant.until_ns
            mine = grant.session in {"", call.session} and grant.arguments in {"", call.arguments}
            if timely and mine and grant.left:
                grant.left -= 1
                return True
        return False

    def _lately(self, asker: str, at_ns: int) -> TurnedDown:
        found = self._refused.get(asker, NEVER)
        return found if at_ns - found.last_ns < DAY_NS else NEVER


@dataclass(frozen=True, slots=True)
class GroupForecast:
    """Votes of one group a day: the mean of the runs, and the span of nine in ten of them."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a policy asks people for, a day."""

    groups: Mapping[str, GroupForecast] = field(default_factory=dict)
    requests: float = 0.0
    calls: int = 0  # that need people at all
    settled_requests: int = 0  # recorded requests that this rests on


def forecast(
    calls: Sequence[WantedCall], found: Sequence[SettledRequest], days: float, draws: Sequence[Draw]
) -> Forecast:
    """The forecast by as many runs as there are `draws`."""
    habits = Habits(found)
    asking = [call for call in calls if call.stages]
    runs = [_Simulation(habits, draw).run(asking) for draw in draws]
    groups = {}
    for group in sorted({group for run in runs for group in run.votes}):
        votes = sorted(run.votes[group] / days for run in runs)
        edge = len(votes) // 20
        groups[group] = GroupForecast(sum(votes) / len(votes), votes[edge], votes[-1 - edge])
    requests = sum(run.requests for run in runs) / len(runs) / days
    return Forecast(groups, requests, len(asking), len(found))


def asks_people(requirements: Iterable[Mapping[str, Any]]) -> bool:
    """Whether people can settle all of these."""
    return all(each["kind"] in PEOPLE for each in requirements)
