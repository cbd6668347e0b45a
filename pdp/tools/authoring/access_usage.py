"""What was used of what is granted, counted from records of decisions, grants and consents.

A use is an allow: what people refused, or were never asked about, was not used.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pdp.decide.replay import Opened, RecordedDecision, opened, parsed
from pdp.tools.authoring.policy_change import Decisions, Rows

USED = ("decision", "grant", "consent")  # kinds of records that tell of uses
MOST_REQUESTERS = 10_000  # that are remembered; the others are counted
TargetKey: TypeAlias = tuple[str, str]  # server, key of a target: what a decision is about
# Allows whose input is not there: erased, or kept no longer. Whose they were is not known, so all count as users.
UnreadAllows: TypeAlias = Counter[TargetKey]


@dataclass(slots=True)
class UseCount:
    """Decisions by effect, and the instants of the last one and of the last allow; 0 without any."""

    allow: int = 0
    deny: int = 0
    pending: int = 0
    last_ns: int = 0
    used_ns: int = 0

    def add(self, effect: str, at_ns: int) -> None:
        """One decision more."""
        setattr(self, effect, getattr(self, effect) + 1)
        self.last_ns = max(self.last_ns, at_ns)
        if effect == "allow":
            self.used_ns = max(self.used_ns, at_ns)


@dataclass(slots=True)
class SeenRequester:
    """A subject with its agent at a caller. `document` is the input of its newest decision, `used` what it was
    allowed."""

    subject: str  # pseudonym
    agent: str
    caller: str
    at_ns: int = 0
    document: Mapping[str, Any] = field(default_factory=dict)
    used: set[TargetKey] = field(default_factory=set)


@dataclass(slots=True)
class AccessUsage:
    """The uses of one tenant in a window. `groups` says by which groups' members each target was used; `carried` are
    scopes of the tokens of all calls, `needed` those that an allowed call's target asks for."""

    tenant: str
    since_ns: int
    until_ns: int
    pinned: frozenset[TargetKey]  # whose denials are counted one by one: anybody may ask for what is not there
    decisions: UseCount = field(default_factory=UseCount)
    unread: UnreadAllows = field(default_factory=Counter)
    targets: defaultdict[TargetKey, UseCount] = field(default_factory=lambda: defaultdict(UseCount))
    agents: defaultdict[str, UseCount] = field(default_factory=lambda: defaultdict(UseCount))
    callers: defaultdict[str, UseCount] = field(default_factory=lambda: defaultdict(UseCount))
    carried: defaultdict[str, UseCount] = field(default_factory=lambda: defaultdict(UseCount))
    needed: defaultdict[str, UseCount] = field(default_factory=lambda: defaultdict(UseCount))
    answered: defaultdict[str, UseCount] = field(default_factory=lambda: defaultdict(UseCount))
    groups: defaultdict[TargetKey, dict[frozenset[str], UseCount]] = field(default_factory=lambda: defaultdict(dict))
    requesters: dict[tuple[str, str, str], SeenRequester] = field(default_factory=dict)
    overflow: int = 0  # decisions of requesters beyond `MOST_REQUESTERS`

    def covers(self, record: Mapping[str, Any]) -> bool:
        """Whether a record is of this tenant and window."""
        return bool(record["tenant"] == self.tenant and self.since_ns <= record["time_ns"] < self.until_ns)

    def window(self, rows: Rows) -> Decisions:
        """Those of this tenant and window, as far as they were opened."""
        records = ((parsed(data), values) for data, values in rows)
        return ((record, opened(record, values)) for record, values in records if self.covers(record))

    def read(self, rows: Rows) -> AccessUsage:
        """Count records of `USED`; what is of another tenant, or outside the window, is left out. Returns itself."""
        for data, values in rows:
            record = parsed(data)
            if not self.covers(record):
                continue
            if record["kind"] == "decision":
                self._decision(record, values)
            elif record["event"] == "used":  # by a grant or consent
                self.answered[str(record[f"{record['kind']}_id"])].add("allow", record["time_ns"])
        return self

    def used_by(self, asked: TargetKey, groups: Iterable[str]) -> UseCount:
        """How members of any of the groups used it."""
        counted, wanted = UseCount(), frozenset(groups)
        for held, count in self.groups.get(asked, {}).items():
            if held & wanted:
                counted.allow += count.allow
                counted.used_ns = max(counted.used_ns, count.used_ns)
        return counted

    def _decision(self, record: Mapping[str, Any], values: Opened) -> None:
        effect, at_ns = record["effect"], record["time_ns"]
        asked = (str(record["server"]["id"]), str(record["target"]["key"]))
        self.decisions.add(effect, at_ns)
        if asked in self.pinned or effect == "allow":
            self.targets[asked].add(effect, at_ns)
        self.callers[str(record["caller"])].add(effect, at_ns)
        if record["agent"]["status"] == "ok":
            self.agents[str(record["agent"]["id"])].add(effect, at_ns)
        decision = opened(record, values)
        if not isinstance(decision, RecordedDecision):
            if effect == "allow":
                self.unread[asked] += 1
            return
        document = json.loads(decision.document)
        if document["subject"]["status"] == "ok":
            self._requester(record, document, asked)

    def _requester(self, record: Mapping[str, Any], document: Mapping[str, Any], asked: TargetKey) -> None:
        effect, at_ns, subject = record["effect"], record["time_ns"], document["subject"]
        allowed = effect == "allow"
        for scope in subject["scopes"]:
            self.carried[scope].add(effect, at_ns)
        if allowed:
            held = self.groups[asked].setdefault(frozenset(subject["groups"]), UseCount())
            held.add(effect, at_ns)
            for scope in document["targets"][0]["permissions"]:
                self.needed[scope].add(effect, at_ns)
        key = (str(record["subject"]["id"]), str(record["agent"]["id"] or ""), str(record["caller"]))
        if key not in self.requesters and len(self.requesters) >= MOST_REQUESTERS:
            self.overflow += 1
            return
        requester = self.requesters.setdefault(key, SeenRequester(*key))
        if at_ns >= requester.at_ns:
            requester.at_ns = at_ns
            requester.document = {name: document[name] for name in ("caller", "checks", "subject", "actors", "agent")}
        if allowed:
            requester.used.add(asked)
