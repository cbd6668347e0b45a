"""Bugs planted where results are inspected, recorded, cut and passed on."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


RESULTS = (
    *_in(
        "service/results",
        (
            "effects-of-anybody",
            "    if not caller.may_assert.effects:\n        return ()\n",
            "",
            "only who may vouch for what it saw takes a tool from others",
        ),
        (
            "effects-unjudged",
            "        if not permitted(may, kind, what)\n",
            "        if False\n",
            "what is not permitted is found",
        ),
    ),
    *_in(
        "service/quarantine",
        (
            "quarantine-asserted",
            ' and each.asserted != "with"',
            "",
            "what nobody vouches for takes no tool from others",
        ),
        (
            "quarantine-unevaluated",
            'return (CODE, "") if report.effects and not elements else None',
            "return None",
            "a policy that cannot be asked spares no tool",
        ),
        (
            "quarantine-unset",
            "    return replace(entry, switch=_row(report, record_id))\n",
            "    return entry\n",
            "what is recorded acts",
        ),
    ),
    *_in(
        "core/effects",
        ("effects-of-any-kind", "each.kind == kind and (", "(", "reading is not writing"),
        (
            "effects-of-neighbours",
            'endswith(f".{wanted.host}")',
            "endswith(str(wanted.host))",
            "a name that ends alike is another's",
        ),
        (
            "effects-of-any-port",
            "wanted is None or wanted.port not in (None, there.port)",
            "wanted is None",
            "a port is that port",
        ),
        ("effects-by-dots", '{".", ".."} & set(parts) or ', "", "a path that climbs is within nothing"),
    ),
    *_in(
        "service/approvals/quarantines",
        (
            "lift-of-another",
            "row is None or row.reason != told[",
            "row is None or not told[",
            "what was not shown is not lifted",
        ),
        (
            "lift-by-its-cause",
            "actors=() if account in (None, person.account) else (account,),",
            "actors=(),",
            "whose call it was has no vote",
        ),
    ),
    *_in(
        "service/inspect",
        (
            "result-of-anybody",
            "self.facts.subject_index(caller, identity) == call.subject_index",
            "True",
            "a result belongs to the subject of its decision",
        ),
        (
            "results-without-bound",
            "if self.now + size > self.most:",
            "if size > self.most:",
            "all results together have a bound",
        ),
        ("results-kept", "            self.now -= mine\n", "            pass\n", "what is answered is let go"),
        (
            "result-of-another-server",
            "            and ask.of in (None, (call.server, call.method))\n",
            "",
            "a result is of the server and method that were asked",
        ),
        (
            "result-of-any-session",
            "self._is_session(caller, ask.session.id, call.session_index)",
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
        "service/inspect",
        (
            "withheld-results-trace",
            "    if outcome.effect is not Effect.ALLOW or not target.check.ok:\n        return WORST_LABELS\n",
            "",
            "what is withheld traces nothing",
        ),
        (
            "unreadable-results-hide",
            "        atoms = replace(atoms, kind=EXTERNAL, whole=False)\n",
            "        pass\n",
            "what nobody could read may have held anything",
        ),
        (
            "results-of-an-earlier-session-trace",
            "if kind == EXTERNAL or call.at_ns >= session.started_ns:",
            "if True:",
            "a session trusts what was asked for in it",
        ),
    ),
    *_in(
        "core/origins",
        (
            "whole-tool-sends-nothing",
            '    if sink and "/" not in sink[1:] and isinstance',
            '    if "/" not in sink[1:] and isinstance',
            "a sink without an argument is never empty",
        ),
        (
            "unchecked-member-is-empty",
            "arguments.get(name) in _NOTHING:",
            "not binding_values(arguments, (sink,)):",
            "a switch sends, too",
        ),
        (
            "sink-of-the-best-value",
            "return max((origin_of(value, task, held) for _, value in values or ())",
            "return min((origin_of(value, task, held) for _, value in values or ())",
            "one receiver whom nobody named is enough",
        ),
        (
            "sinks-of-the-untraced",
            "values, sinks = (self.values, self.sinks) if self.traced else ((), ())",
            "values, sinks = self.values if self.traced else (), self.sinks",
            "where nothing is traced, no sink is told",
        ),
    ),
    *_in(
        "core/atoms",
        (
            "own-results-trace-unobserved",
            "    if not session.observed:\n",
            "    if False:\n",
            "a result that nobody inspected may have held the value",
        ),
        (
            "overflow-forgotten",
            "        if kind == OWN and (overflown or ",
            "        if kind == OWN and (",
            "more than is kept untraces everything",
        ),
        (
            "own-results-outlive-their-session",
            "row.at_ns < since.get(row.session, row.at_ns + 1)",
            "row.at_ns < since.get(row.session, 0)",
            "what traces goes with its session",
        ),
        (
            "memory-forgets-what-went-in",
            "            places.append(self.keys.also)\n",
            "            pass\n",
            "a memory keeps what was supplied to it",
        ),
        (
            "atoms-of-all-alike",
            'canonical(["atoms of", *subject])',
            'canonical(["atoms of"])',
            "two subjects share no hash",
        ),
        (
            "everything-said-is-new",
            "hashes.all(of_arguments(arguments, frozenset(known)))",
            "hashes.all(of_arguments(arguments))",
            "the user's own values stay the user's when the agent uses them",
        ),
    ),
    *_in(
        "core/approvals/binding",
        (
            "task-consents-for-any-value",
            "None if _named(value, task) else canonical(value)",
            "None",
            "a consent for a task binds values",
        ),
        (
            "task-consents-outlive-what-was-shown",
            "approval.opened_ns < session.started_ns",
            "False",
            "a consent for a task is for one session",
        ),
        (
            "task-consents-of-another-session",
            "approval.tenant, told.subject, told.agent, told.caller, told.session)",
            "approval.tenant, told.subject, told.agent, told.caller, call.session)",
            "a consent for a task is for one session",
        ),
    ),
    *_in(
        "service/approvals/evidence",
        (
            "task-consents-widen",
            "if binds_of(approval) != wanted.binds:",
            "if False:",
            "a consent for a task is none for the tool",
        ),
        (
            "session-grants-for-the-tool",
            "                and self._within_task(grant, asked)\n",
            "",
            "a grant for a session binds more than the tool",
        ),
    ),
    *_in(
        "store/atoms",
        (
            "echo-after-a-reset",
            "WHERE CAST($2 AS TEXT) = '' OR EXISTS (SELECT 1 FROM awaited WHERE pair = $1 AND decision_id = $4)",
            "WHERE true",
            "a result from before a context reset traces nothing",
        ),
        (
            "full-places-forget",
            "CASE WHEN {_FULL} THEN {OVERFLOW} ELSE new.value END",
            "new.value",
            "a place is bounded",
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
        "content/arguments",
        (
            "account-in-a-pointer",
            "and CODED.search(name) is None and",
            "and",
            "no finding tells an account that is a name",
        ),
    ),
    *_in(
        "content/results",
        ("result-names-unread", "if not _usual(key)]", "if False]", "names of members are read"),
        (
            "result-accounts-are-names",
            "(len(key) < 15 or not CODED.search(key))",
            "True",
            "an account or access key that is a name is found",
        ),
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
        "injection/pattern_set",
        ("patterns-no-option", "| (going if least == 0 else set())", "| set()", "what is optional may be absent"),
        (
            "patterns-no-repeat",
            "(once if most == 1 else _unknown(once))",
            "once",
            "what repeats may go on with itself",
        ),
        (
            "patterns-one-branch",
            "for branch in argument[1] for each",
            "for branch in argument[1][:1] for each",
            "every branch begins",
        ),
        (
            "patterns-nowhere",
            "                self._anywhere.append(number)\n",
            "                pass\n",
            "an unknown beginning is searched everywhere",
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
