"""Bugs planted where results are inspected, recorded, cut and passed on."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


RESULTS = (
    *_in(
        "service/inspect",
        (
            "result-of-anybody",
            "self.facts.subject_index(caller, identity) == call.subject_index",
            "True",
            "a result belongs to the subject of its decision",
        ),
        (
            "result-of-any-session",
            '(self.recorder.session_index(caller, ask.session.id) or "") == call.session_index',
            "True",
            "a result belongs to the session of its decision",
        ),
        (
            "result-of-a-broken-handle",
            "            and not ask.session.handle\n",
            "",
            "a handle that does not verify is not no session",
        ),
        (
            "result-twice",
            "        if row.content != claim.content:\n",
            "        if False:\n",
            "one result for each allow",
        ),
        (
            "result-of-a-denial",
            "        if not call.passed:\n",
            "        if False:\n",
            "what was denied has no result",
        ),
        (
            "result-repeated-for-ever",
            " if row.epochs == claim.epochs(snapshot) else None",
            "",
            "a switch withholds a repeated result",
        ),
        (
            "result-unjudged-unmarked",
            'if any(reason.rule in {"service", "pdp.gate"} for reason in outcome.reasons):',
            "if False:",
            "what cannot be judged leaves the worst labels",
        ),
    ),
    *_in(
        "adapters/grpc/codec/results",
        (
            "result-without-end",
            "    if start is None or end is None:\n",
            "    if start is None:\n        end = end or decision_pb2.ResultEnd()\n    if start is None:\n",
            "a stream that ends early is no result",
        ),
        (
            "result-of-any-size",
            "if len(data) + len(request.chunk.data) > max_bytes:",
            "if False:",
            "a result is bounded",
        ),
    ),
    *_in(
        "content/results",
        ("result-names-unread", "if not _usual(key):", "if False:", "names of members are read"),
        (
            "result-pieces-unread",
            "            elif _strong(code):  # in pieces\n",
            "            elif False:\n",
            "text in pieces is read together",
        ),
        (
            "result-schema-skipped",
            "elif not output.check(content, size=size, depth=depth).ok:",
            "elif False:",
            "structured content satisfies the pinned schema",
        ),
    ),
    *_in(
        "client/results",
        (
            "client-obligation-ignored",
            "                if obligation.kind != REDACT:\n",
            "                if False:\n",
            "an obligation that cannot be honoured withholds",
        ),
        (
            "client-any-span",
            "if not 0 <= start <= end <= len(value):",
            "if False:",
            "a place that is not there withholds",
        ),
    ),
)
