"""Bugs planted in the pure core (`pdp/core`)."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/core/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


OUTCOME = _in(
    "outcome",
    (
        "read-unknown-effect",
        'effect = Effect(decision["effect"])',
        'effect = Effect(decision["effect"]) if decision["effect"] in list(Effect) else Effect.ALLOW',
        "there is no fourth effect",
    ),
    (
        "read-extra-keys",
        "or decision.keys() != _KEYS:",
        "or not decision.keys() >= _KEYS:",
        "exactly a decision, or a denial",
    ),
    (
        "read-pending-for-nothing",
        "if (effect is Effect.PENDING) != bool(requirements):",
        "if requirements and effect is Effect.DENY:",
        "pending has requirements, nothing else has",
    ),
    (
        "read-allow-of-nothing",
        "ALLOW and not visible:",
        "ALLOW and not visible and hidden:",
        "an allow grants something",
    ),
    (
        "read-stage-true",
        "if type(value) is not kind:",
        "if not isinstance(value, kind):",
        "a stage is a positive integer",
    ),
    (
        "exchange-for-anything",
        "not _exchangeable(each, asked) for",
        "not asked.phase for",
        "only the signed manifest names whom a token is for",
    ),
    (
        "exchange-as-policy-says",
        "and bool(named) and obligation.keys() <= _ELEMENT",
        "and bool(named)",
        "policy names no audience and no scope",
    ),
    ("read-stage-zero", "stage < 1", "stage < 0", "a stage is a positive integer"),
    (
        "read-stage-fraction",
        "stage, ttl_seconds = _each(int, _requirement_numbers(value))",
        "stage, ttl_seconds = _requirement_numbers(value)",
        "a stage is a positive integer",
    ),
    ("read-any-kind", "if kind not in KINDS or", "if not kind or", "four kinds, no fifth"),
    (
        "read-duplicate-keys",
        "if len(made) != len(pairs):",
        "if len(made) > len(pairs):",
        "a key that stands twice is no decision",
    ),
    (
        "read-broken-is-allow",
        "Effect.DENY, (Reason(code, message",
        "Effect.ALLOW, (Reason(code, message",
        "fail closed",
    ),
    ("denied-without-control", '"service", control_of(code))', '"service")', "a denial names its control"),
    ("read-without-control", "control or control_of(code)", "control", "a denial of the gate names its control"),
)

CODES = _in(
    "codes",
    ("control-of-the-first-part", "SERVED.get(code) or ", "", "a code with a control of its own has that one"),
    (
        "control-missing",
        '    "evidence": "MCP06",\n',
        "",
        "each code of the service is reserved and serves a control",
    ),
)

RECORD = _in(
    "record",
    (
        "record-quotes-a-message",
        'said.fields.items() if name != "message"}',
        "said.fields.items()}",
        "no argument's value stands in a record",
    ),
    (
        "record-quotes-anything",
        '_LITERAL = frozenset({"require", "oblige"})',
        '_LITERAL = frozenset({"require", "oblige", "deny"})',
        "no argument's value stands in a record",
    ),
    (
        "record-elements-deny",
        '{**body, **less, "elements": portion(said, 0)}',
        "body",
        "what is said besides does not deny a call",
    ),
    (
        "record-labels-deny",
        'less = {"labels": portion(put, 0)} if put else {}',
        "less = {}",
        "nor do the labels that it puts on",
    ),
)

DECIDE = _in(
    "outcome",
    (
        "conclude-any-target",
        "if not outcome.visible <= asked.keys:",
        "if not asked.keys:",
        "an answer to what was asked",
    ),
    (
        "conclude-pending-without-grant",
        "(outcome.visible and outcome.effect in _EFFECTS[asked.phase])",
        "((outcome.visible or outcome.effect is Effect.PENDING) and outcome.effect in _EFFECTS[asked.phase])",
        "nothing passes that is not visible",
    ),
    (
        "conclude-obligations-skipped",
        "    if unsupported:\n",
        "    if unsupported and not outcome.visible:\n",
        "an obligation that the caller does not support denies",
    ),
    (
        "conclude-one-obligation-enough",
        "- supported_obligations - _OURS[asked.phase])",
        "if not supported_obligations else ())",
        "an obligation that the caller does not support denies",
    ),
    (
        "question-not-validated",
        "if not valid(doc):",
        "if not doc:",
        "the document is validated before each evaluation",
    ),
    (
        "list-decides",
        "        if outcome.effect is not Effect.DENY:\n",
        "        if outcome.effect is Effect.PENDING:\n",
        "a list decides no call",
    ),
)

ELEMENTS = (
    *_in(
        "elements",
        (
            "elements-told-without-asserted",
            "plain, asserted = told[0], told[-1]",
            "plain, asserted = told[0], told[0]",
            "what only asserted facts bring about is told",
        ),
        (
            "elements-told-with-asserted-only",
            'asserted="" if key in asserted else "without")',
            'asserted="")',
            "what asserted facts take away is marked",
        ),
        (
            "elements-granted-elsewhere",
            "or server not in servers or",
            "or",
            "a grant counts on the servers of its pack",
        ),
        (
            "elements-granted-of-any-kind",
            'if key.partition(":")[0] in kinds]',
            "]",
            "a grant counts for the kinds of its pack",
        ),
        ("question-nan", "allow_nan=False", "allow_nan=True", "the question is JSON"),
        (
            "elements-on-asserted-alone",
            "varied = [_NOTHING_ASSERTED]",
            "varied = [texts[ASSERTED]]",
            "packs are evaluated without what was asserted",
        ),
        (
            "elements-without-asserted",
            "                varied.append(texts[ASSERTED])\n",
            "                pass\n",
            "packs are evaluated with what was asserted as well",
        ),
        (
            "elements-of-lists-on-asserted",
            "shared = {**shared, ASSERTED: _NOTHING_ASSERTED}",
            "shared = {**shared, ASSERTED: texts[ASSERTED]}",
            "lists rest on nothing that was asserted",
        ),
        (
            "elements-of-targets-together",
            'for each in varied or (b"",))',
            'for each in ((b",".join(varied),) if phase == "list" else varied))',
            "packs are asked about each target of a list by itself",
        ),
        (
            "elements-of-another-target",
            "not elsewhere(e)}",
            "true}",
            "what is said of a target is said by packs that were asked about it",
        ),
        (
            "elements-every-denial-listed",
            "\te.code in codes\n",
            "",
            "only denials that rest on nothing of calls count for lists",
        ),
        (
            "elements-see-evidence",
            '"questions", "result",\n',
            '"questions", "result", "evidence",\n',
            "packs see no evidence",
        ),
        (
            "elements-no-set",
            'f"\\tis_set({path})"',
            'f"\\t{path} == {path}"',
            "a rule that is no set is no element",
        ),
    ),
    Mutant(
        "lone-question-waits",
        "pdp/policy/embedded/pool.py",
        "if self._met < MET or self._reruns or",
        "if self._reruns or",
        "a lone caller waits for no company",
    ),
    Mutant(
        "elements-machine-undefined",
        "pdp/policy/embedded/worker.py",
        " and _UNDEFINED not in text",
        "",
        "what the machine has no value for is left to the interpreter",
    ),
    Mutant(
        "elements-machine-lists",
        "pdp/policy/embedded/worker.py",
        'if phase == "call" else b""',
        'if phase else b""',
        "lists are composed by the interpreter",
    ),
    Mutant(
        "elements-never-asserted",
        "pdp/policy/embedded/worker.py",
        "phase in ABOUT_ONE and not self._engines.asserted",
        "phase in ABOUT_ONE",
        "packs that read what was asserted are evaluated with it",
    ),
    Mutant(
        "elements-granted-by-either",
        "rego/pdp/elements.rego",
        "[e | some e in elements; e in others]",
        "[e | some e in elements]",
        "a grant that rests on what was not asserted needs both evaluations",
    ),
    Mutant(
        "elements-forbidden-by-one",
        "rego/pdp/elements.rego",
        "some part in [elements, others]",
        "some part in [elements]",
        "what either evaluation forbids is forbidden",
    ),
)

FACTS = _in(
    "facts",
    (
        "subject-leaks",
        "me = self if self.check.ok else SubjectFact(self.check)",
        "me = self",
        "unverified claims never reach a pack",
    ),
    (
        "agent-leaks",
        "me = self if self.check.ok else AgentFact(self.check)",
        "me = self",
        "unverified claims never reach a pack",
    ),
    (
        "arguments-leak",
        "dict(self.value) if self.check.ok else {}",
        "dict(self.value)",
        "arguments that failed their check never reach a pack",
    ),
    (
        "agents-task-is-a-fact",
        'self.task if self.task_source in ("subject_signed", "caller") else None',
        "self.task",
        "the agent's own statement is only asserted",
    ),
    ("unknown-session-clean", "] = WORST_LABELS", "] = ()", "no session means the worst labels"),
)

CHECKS = _in(
    "check",
    ("check-negated", '"ok", self.status == "ok")', '"ok", self.status != "failed")', "only ok is ok"),
    ("unknown-count-zero", "WORST_COUNT = 2**53 - 1", "WORST_COUNT = 0", "an unknown count is the worst"),
)

TARGETS = _in(
    "facts",
    ("unknown-not-destructive", "destructive: bool = True", "destructive: bool = False", "unknown is the worst"),
    ("unknown-risk-low", 'risk: str = "critical"', 'risk: str = "low"', "unknown is the worst"),
    ("unknown-schema-closed", "schema_open: bool = True", "schema_open: bool = False", "unknown is the worst"),
    ("risk-off-by-one", "RISKS.index(self.risk) + 1", "RISKS.index(self.risk)", "risk levels begin at 1"),
)

DOCUMENT = _in(
    "facts",
    (
        "actors-leak",
        " if identity.subject.check.ok else [],",
        ",",
        "unverified claims never reach a pack",
    ),
    (
        "switch-not-passed-on",
        '"switch": facts.switch.as_json,',
        '"switch": {"status": "ok", "code": ""},',
        "a kill switch reaches policy",
    ),
    (
        "server-check-not-passed-on",
        '"server": facts.server.check.as_json,',
        '"server": {"status": "ok", "code": ""},',
        "the registry's check reaches policy",
    ),
    ("weekday-from-zero", "at.isoweekday()", "at.weekday()", "weekdays are ISO"),
    ("evidence-dropped", "list(map(dict, evidence))", "[]", "evidence reaches policy"),
)

EARLIER = _in(
    "approvals/turned_down",
    (
        "withdrawals-cost-nothing",
        "turned_down.refusals + turned_down.withdrawals - self.after",
        "turned_down.refusals - self.after",
        "asking and taking back wears people out as well",
    ),
    ("waits-alike", "<< min(beyond - 1, _DOUBLINGS)", "<< 0", "each further refusal doubles the wait"),
    ("waits-for-ever", "min(wait, LONGEST_NS)", "wait", "a wait ends"),
)

CREDENTIALS = _in(
    "credentials",
    ("credentials-one-layer", "LAYERS = 4 ", "LAYERS = 1 ", "encodings in encodings are read"),
    (
        "credentials-beyond-is-nothing",
        'yield Credential(UNREAD, "encoded"',
        'yield from () and Credential(UNREAD, "encoded"',
        "what was not read is said",
    ),
    (
        "credentials-words-joined",
        "return pattern.name in (CONNECTION, PRIVATE_KEY) or _mixed(",
        "return True or _mixed(",
        "words run together are no credential",
    ),
    (
        "credentials-copies-stay",
        "known = here[what] <= most[what] if",
        "known = bool(most[what]) if",
        "every copy goes",
    ),
)

CORE = (
    *CREDENTIALS,
    *ELEMENTS,
    *OUTCOME,
    *CODES,
    *RECORD,
    *DECIDE,
    *FACTS,
    *CHECKS,
    *TARGETS,
    *DOCUMENT,
    *EARLIER,
)
