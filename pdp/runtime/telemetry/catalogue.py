"""Catalogue of spans, attributes and metrics; source of the instruments, of docs/telemetry.md and docs/metrics.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class CallStage:
    """A child span `pdp.<name>` of a call, and a value of `pdp.stage` in `pdp.stage.duration`."""

    name: str
    says: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of spans or metrics."""

    name: str
    says: str
    where: str  # in words


@dataclass(frozen=True, slots=True)
class Instrument:
    """A metric. `unit` is UCUM, "1" for a plain number."""

    name: str
    kind: Literal["counter", "histogram", "level", "up_down"]
    unit: str
    says: str
    attributes: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

STAGES = (
    CallStage("admit", "the caller is authenticated"),
    CallStage("identify", "the subject's credential is verified"),
    CallStage("facts", "facts are established"),
    CallStage(
        "registry", "within facts: the tool is found in the signed registry and compared with the presented one"
    ),
    CallStage("arguments", "within facts: arguments are parsed and checked against the pinned schema"),
    CallStage("evaluate", "the engine answers; again for each stage of requirements that is met at once"),
    CallStage("commit", "the record becomes durable, waiting for its batch included"),
    CallStage("answer", "the answer is put into its message"),
)

ATTRIBUTES = (
    Attribute("rpc.system.name", "`grpc`", "call"),
    Attribute("rpc.method", "fully qualified, such as `pdp.v1.DecisionService/Decide`", "call; metrics"),
    Attribute("rpc.response.status_code", "name of the gRPC status", "call; metrics"),
    Attribute("error.type", "code of the fault that ended a stage, or a call by our fault", "every span"),
    Attribute("mcp.method.name", "such as `tools/call`", "call"),
    Attribute("gen_ai.operation.name", "`execute_tool`, for a call of a tool", "call"),
    Attribute("gen_ai.tool.name", "the tool, when it is in the signed registry and passes its checks", "call"),
    Attribute("gen_ai.prompt.name", "the prompt, likewise", "call"),
    Attribute("pdp.decision.id", "id of the decision and its record", "call"),
    Attribute("pdp.effect", "`allow`, `deny` or `pending`", "call; metrics"),
    Attribute(
        "pdp.code", "code of the first reason, or of the refusal; `none` for an allow without one", "call; metrics"
    ),
    Attribute("pdp.phase", "`call` or `list`", "facts, evaluate; metrics"),
    Attribute("pdp.engine", "`embedded` or `opa`", "call, evaluate; metrics"),
    Attribute("pdp.policy.digest", "SHA-256 of the bundle that answered", "call, evaluate"),
    Attribute("pdp.document.bytes", "size of the input document", "evaluate"),
    Attribute(
        "pdp.check", "code of the check that failed, `ok` when none did", "identify, registry, arguments; metrics"
    ),
    Attribute("pdp.record.kind", "kind of the record", "commit; metrics"),
    Attribute("pdp.shadow", "name of a shadow policy in the configuration", "metrics"),
    Attribute("pdp.share", "`tenant`, `caller`, `subject` or `session`", "metrics"),
    Attribute("pdp.limit", "`in_flight` or `rate`", "metrics"),
    Attribute("pdp.hook", "`ClaudeCodeHook` or `CopilotStudioHook`", "metrics"),
    Attribute("pdp.stage", "name of a stage", "metrics"),
    Attribute("pdp.cause", "why a policy worker ended: `timeout`, `crashed`, `stalled`, ...", "metrics"),
    Attribute(
        "pdp.outcome",
        "`loaded`, `refused`; `hit`, `miss`, `differed`; of a canary what came of it; of a shadow `agreed`, "
        "`differed`, `failed`, `dropped`; of a hook see `pdp.hooks`",
        "metrics",
    ),
    Attribute("pdp.judge.status", "`ok`, or why the judge gave no verdict: `timeout`, `refused`, ...", "metrics"),
    Attribute("pdp.judge.verdict", "`allow`, `deny`, `escalate` or `none`", "metrics"),
    Attribute("pdp.judge.cached", "whether the verdict was there already", "metrics"),
    Attribute("pdp.judge.direction", "`input` or `output`", "metrics"),
    Attribute(
        "pdp.new", "`agent`, `server`, `target` (tool, prompt, resource), `host` or `path` (folders)", "metrics"
    ),
    Attribute("pdp.caller", "a caller of the configuration", "metrics"),
    Attribute("pdp.group", "a group that policy gives seats, `subject` for whom a call is made", "metrics"),
    Attribute("pdp.choice", "`approve`, `deny` or `cancel`", "metrics"),
    Attribute("pdp.channel", "a channel of the configuration", "metrics"),
    Attribute("pdp.receiver", "a receiver of records, as in `audit.push`; `first seen` is ours", "metrics"),
    Attribute("pdp.tenant", "a tenant of the configuration", "metrics"),
    Attribute("pdp.part", "`policy`, `directory`, `revocations` or `config`", "metrics"),
    Attribute("pdp.issuer", "an issuer of the configuration", "metrics"),
    Attribute("pdp.setting", "the setting that names what expires, as in `registry.sets.acme`", "metrics"),
    Attribute("pdp.term", "`set`, `waivers`, `certificate` or `authorities`", "metrics"),
)

INSTRUMENTS = (
    Instrument(
        "rpc.server.call.duration", "histogram", "s", "time of a call",
        ("rpc.method", "rpc.response.status_code"), _SECONDS,
    ),
    Instrument("pdp.calls.active", "up_down", "{call}", "calls under way"),
    Instrument("pdp.stage.duration", "histogram", "s", "time of a stage", ("pdp.stage",), _SECONDS),
    Instrument(
        "pdp.decisions", "counter", "{decision}", "answers with a durable record of their own; repeats add none",
        ("pdp.phase", "pdp.effect", "pdp.code", "pdp.engine"),
    ),
    Instrument(
        "pdp.observed", "counter", "{decision}", "those that do not bind",
        ("pdp.phase", "pdp.effect"),
    ),
    Instrument(
        "pdp.caller.decisions", "counter", "{decision}", "the same by who asked", ("pdp.caller", "pdp.effect"),
    ),
    Instrument(
        "pdp.targets.new", "counter", "{target}",
        "what a tenant's agents named for the first time: in a call that was let through (`ok`), or in any, by the "
        "code for which it is none of the tenant's; `overflow`: there is no place for more",
        ("pdp.new", "pdp.check"),
    ),
    Instrument(
        "pdp.refusals", "counter", "{call}", "calls that got an error instead of an answer",
        ("rpc.method", "rpc.response.status_code", "pdp.code"),
    ),
    Instrument(
        "pdp.shares.exceeded", "counter", "{call}",
        "calls and questions that were refused because one tenant, caller, subject or session had its share",
        ("pdp.share", "pdp.limit"),
    ),
    Instrument(
        "pdp.hooks", "counter", "{call}",
        "calls that hooks asked about over HTTP; all but `allowed` are blocked: `denied`, `pending`, `refused` (the "
        "caller), `malformed`, `undecided` (a fault of ours), `late`",
        ("pdp.hook", "pdp.outcome"),
    ),
    Instrument("pdp.records", "counter", "{record}", "durable records", ("pdp.record.kind",)),
    Instrument(
        "pdp.commit.batch", "histogram", "{record}", "entries that shared one sync",
        bounds=(1, 2, 4, 8, 16, 32, 64, 128),
    ),
    Instrument("pdp.policy.workers.lost", "counter", "{worker}", "policy workers that ended", ("pdp.cause",)),
    Instrument("pdp.policy.kept", "counter", "{evaluation}", "searches for a kept result", ("pdp.outcome",)),
    Instrument(
        "pdp.shadow.decisions", "counter", "{decision}",
        "recorded decisions that a shadow policy answered alike or otherwise, could not answer, or did not see",
        ("pdp.shadow", "pdp.outcome"),
    ),
    Instrument(
        "pdp.policy.loads", "counter", "{bundle}", "bundles that became an engine, or were refused",
        ("pdp.outcome", "pdp.code"),
    ),
    Instrument("pdp.policy.active", "level", "1", "1 while a policy answers"),
    Instrument("pdp.release.problem", "level", "1", "1 while the newest release of policy is refused"),
    Instrument("pdp.policy.refused", "level", "1", "1 while the newest policy is refused and another serves"),
    Instrument("pdp.policy.age", "level", "s", "since the active policy was loaded"),
    Instrument("pdp.store.healthy", "level", "1", "1 while records can be written and read"),
    Instrument("pdp.uptime", "level", "s", "since the process began"),
    Instrument(
        "pdp.log.behind", "level", "{record}", "records that no signed checkpoint of this process covers"
    ),
    Instrument("pdp.log.age", "level", "s", "since the last checkpoint, while there are such records"),
    Instrument(
        "pdp.log.uncosigned", "level", "s", "since a checkpoint had the quorum of the witnesses; 0 while it has"
    ),
    Instrument("pdp.search.behind", "level", "{record}", "records that the search index lacks"),
    Instrument("pdp.store.records", "level", "{record}", "records in the log"),
    Instrument(
        "pdp.sessions.lost", "counter", "{read}", "steps on Redis that found data to be lost"
    ),
    Instrument(
        "pdp.fleet.differs", "level", "1",
        "1 while this process has a part otherwise than the process of the same store that changed it last",
        ("pdp.part",),
    ),
    Instrument(
        "pdp.registry.age", "level", "s", "since a tenant's set was last read and verified", ("pdp.tenant",)
    ),
    Instrument(
        "pdp.registry.tools", "level", "{tool}", "tools that verify", ("pdp.tenant",)
    ),
    Instrument("pdp.registry.problem", "level", "1", "1 while a tenant's set is refused", ("pdp.tenant",)),
    Instrument(
        "pdp.registry.left", "level", "s",
        "until a tenant's tools are denied, since its set could not be verified for too long", ("pdp.tenant",),
    ),
    Instrument(
        "pdp.expires", "level", "s",
        "until a signed set, waivers or a certificate of the configuration expire; negative afterwards",
        ("pdp.setting", "pdp.term"),
    ),
    Instrument("pdp.directory.problem", "level", "1", "1 while a tenant's directory is refused", ("pdp.tenant",)),
    Instrument(
        "pdp.keys.left", "level", "s", "until an issuer's keys no longer serve, unless they are read again",
        ("pdp.issuer",),
    ),
    Instrument("pdp.keys.age", "level", "s", "since an issuer's keys were last read", ("pdp.issuer",)),
    Instrument("pdp.keys", "level", "{key}", "usable keys of an issuer", ("pdp.issuer",)),
    Instrument("pdp.judge.load", "level", "1", "share of the judge's places taken, waiting sessions included"),
    Instrument("pdp.judge.up", "level", "1", "1 while the judge's process can be asked"),
    Instrument(
        "pdp.judge.duration", "histogram", "s", "time until there is an opinion, or until there is to be none",
        ("pdp.judge.status",), (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0),
    ),
    Instrument(
        "pdp.judge.opinions", "counter", "{opinion}", "what sessions with the judge came to",
        ("pdp.judge.status", "pdp.judge.verdict", "pdp.judge.cached"),
    ),
    Instrument(
        "pdp.judge.tokens", "histogram", "{token}", "tokens of a session, repeated requests included",
        ("pdp.judge.direction",), (64, 256, 512, 1024, 2048, 4096, 8192, 16_384, 65_536),
    ),
    Instrument(
        "pdp.judge.cost", "histogram", "1", "cost of a session, in the currency of judge.prices",
        bounds=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
    ),
    Instrument(
        "pdp.approval.votes", "counter", "{vote}", "votes; one for several groups' seats counts for each",
        ("pdp.group", "pdp.choice"),
    ),
    Instrument(
        "pdp.approval.think", "histogram", "s", "from the first look at a request to the vote, in the same process",
        ("pdp.group", "pdp.choice"), (1, 2, 3, 5, 10, 30, 60, 300, 1800),
    ),
    Instrument(
        "pdp.approval.canaries", "counter", "{request}",
        "canaries that ended: `caught` (denied), `missed` (approved), `unanswered`, `cancelled`", ("pdp.outcome",),
    ),
    Instrument("pdp.approval.open", "level", "{request}", "requests that wait or wait to be used", ("pdp.tenant",)),
    Instrument("pdp.approval.age", "level", "s", "of the oldest of them", ("pdp.tenant",)),
    Instrument(
        "pdp.approval.asked", "level", "{request}", "requests within the last hour that a group has a seat for",
        ("pdp.tenant", "pdp.group"),
    ),
    Instrument(
        "pdp.approval.hour", "level", "1",
        "of a group's members the one who has most left of the hour: how much of it is taken, as a share of "
        "`approvals.hourly_per_approver`; 0 without that limit", ("pdp.tenant", "pdp.group"),
    ),
    Instrument(
        "pdp.notices", "counter", "{attempt}", "attempts to deliver a message; `none` when it was",
        ("pdp.channel", "pdp.code"),
    ),
    Instrument(
        "pdp.pushes", "counter", "{attempt}", "attempts to push records to a receiver; `none` when it took them",
        ("pdp.receiver", "pdp.code"),
    ),
    Instrument(
        "pdp.push.waiting", "level", "{record}",
        "records that wait to be pushed; 0 where another process pushes them", ("pdp.receiver",),
    ),
    Instrument(
        "pdp.push.age", "level", "s", "of the oldest of them that the receiver wants", ("pdp.receiver",)
    ),
    Instrument(
        "pdp.signals", "counter", "{event}", "security events; `none`: taken", ("pdp.code",)
    ),
    Instrument("pdp.revocations.active", "level", "{mark}", "revocations in force"),
    Instrument("pdp.switches.engaged", "level", "{switch}", "kill switches that are engaged"),
    Instrument(
        "pdp.tools.quarantined", "level", "{tool}", "tools that did what their manifests do not permit"
    ),
)  # fmt: skip

_KINDS = {"counter": "counter", "histogram": "histogram", "level": "gauge", "up_down": "up-down counter"}


def tables() -> dict[str, str]:
    """The tables of the two pages, by name."""
    stages = [f"| `pdp.{s.name}` | {s.says} |" for s in STAGES]
    attributes = [f"| `{a.name}` | {a.where} | {a.says} |" for a in ATTRIBUTES]
    metrics = [
        f"| `{i.name}` | {_KINDS[i.kind]} | {i.unit} | {', '.join(f'`{a}`' for a in i.attributes)} | {i.says} |"
        for i in INSTRUMENTS
    ]
    return {
        "stages": "\n".join(["| span | what happens |", "|---|---|", *stages]),
        "attributes": "\n".join(["| attribute | of | value |", "|---|---|---|", *attributes]),
        "metrics": "\n".join(["| metric | kind | unit | attributes | value |", "|---|---|---|---|---|", *metrics]),
    }
