"""Answers to those who ask by another protocol are carried out as our own client carries out ours."""

from itertools import product
from typing import Any

from support.for_each import for_each

from pdp.client import responses
from pdp.client.results import ResultQuestion
from pdp.core.caller import mcp_answers
from pdp.core.outcome import Effect, Reason
from pdp.core.outcome.answer import Answer, ListAnswer, OpenRequirement, PolicyRef, PutLabel, ResultAnswer
from pdp.core.rows.log import RecordRef
from pdp.wire import reading
from pdp.wire.grpc.codec import decisions, results

AT = 1_800_000_000_500_000_000
REF, POLICY = RecordRef("log.example", 7, b"h" * 32), PolicyRef("r1", "sha256:p", "embedded")
REASONS = ((), (Reason("a.code", "m", "packs.finance.deny"), Reason("b.code")))
OBLIGED = ((), ({"kind": "redact_result", "code": "r.c"},))
MODES = ("enforced", "observed", "off")
INSTANTS = (AT - 10**9, AT, AT + 10**9)
CALLS = product(Effect, REASONS, OBLIGED, MODES, ("", "arguments: /x is not a number"), (False, True), INSTANTS)


def told(decision: Any) -> Any:
    """What of an answer is passed on."""
    return (
        (decision.allowed, decision.effect, decision.code, decision.safe_message, decision.decision_id),
        (decision.observed, mcp_answers.page(decision), mcp_answers.data(decision)),
    )


@for_each(("effect", "reasons", "obligations", "mode", "hint", "observe", "at_ns"), CALLS)
def test_a_call(
    *, effect: Any, reasons: Any, obligations: Any, mode: Any, hint: Any, observe: Any, at_ns: Any
) -> None:
    wanted: tuple[OpenRequirement, ...] = ()
    if effect is Effect.PENDING:
        wanted = (
            OpenRequirement("q1", "judge", "c", "MB-2", 1, AT),
            OpenRequirement("q2", "approval", "c", "MB-2", 2, AT, url="https://x.example/r", short_code="AB12"),
        )
    answer = Answer(
        "id-1", effect, reasons, obligations, "low", AT, "sha256:c", POLICY, wanted, 5_000, mode, hint=hint
    )
    by_client = responses.decision(decisions.response(answer, REF), "", frozenset(), at_ns / 1e9, observe=observe)
    assert told(reading.decision(answer, at_ns, observe=observe)) == told(by_client)


TOOLS = ((), (("b", {"name": "b", "n": 2**60}), ("a", {"name": "a", "title": "ä"})))
LISTS = product(TOOLS, TOOLS, REASONS, MODES, (False, True), INSTANTS)


@for_each(("tools", "hidden", "reasons", "mode", "observe", "at_ns"), LISTS)
def test_a_list(tools: Any, hidden: Any, reasons: Any, mode: Any, observe: Any, at_ns: Any) -> None:
    observed = tuple((f"hidden-{name}", definition) for name, definition in hidden)
    answer = ListAnswer("id-2", tools, (), reasons, AT, POLICY, mode, observed)
    by_client = responses.tool_list(decisions.filter_response(answer, REF), "", at_ns / 1e9, observe=observe)
    found, shown = reading.shown(answer, at_ns, observe=observe)
    assert (found.allowed, found.code, found.decision_id) == (
        by_client.allowed,
        by_client.code,
        by_client.decision_id,
    )
    assert (found.safe_message, found.valid_until) == (by_client.safe_message, by_client.valid_until)
    listed = [(name, decisions.canonical(definition)) for name, definition in shown]
    assert listed == [(tool.name, tool.definition) for tool in by_client.tools]


RESULT = {"content": [{"type": "text", "text": "key hunter2 seen"}], "n": 1}
CUT: dict[str, Any] = {"pointer": "/content/0/text", "spans": [[4, 11]], "replacement": "[gone]"}
REDACTIONS: Any = (
    (),
    ({"kind": "redact", "code": "c", "redactions": [CUT]},),
    ({"kind": "redact", "code": "c", "redactions": [CUT, {"pointer": "/n", "replacement": "-"}]},),
    ({"kind": "redact", "code": "c", "redactions": [{**CUT, "pointer": "/nowhere/0"}]},),
    ({"kind": "redact", "code": "c", "redactions": [{**CUT, "spans": [[4, 99]]}]},),
    ({"kind": "redact", "code": "c"},),
    ({"kind": "quarantine", "code": "c", "redactions": []},),
)


@for_each(("effect", "obligations"), product((Effect.ALLOW, Effect.DENY), REDACTIONS))
def test_a_result(effect: Any, obligations: Any) -> None:
    answer = ResultAnswer("id-3", effect, REASONS[effect is Effect.DENY], obligations, (PutLabel("x", "c"),), POLICY)
    question = ResultQuestion("", "id-1", "", RESULT, None, None)
    by_client, found = question.read(results.result_response(answer, REF), 0), reading.inspected(answer, RESULT)
    assert (found.passes, found.result, found.code) == (by_client.passes, by_client.result, by_client.code)
    assert (found.safe_message, found.decision_id) == (by_client.safe_message, by_client.decision_id)
    assert RESULT["content"] == [{"type": "text", "text": "key hunter2 seen"}]
