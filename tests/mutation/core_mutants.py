"""Bugs planted in the pure core (`pdp/core`)."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/core/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


OUTCOME = _in(
    "outcome",
    (
        "read-unknown-effect",
        "    except ValueError:\n        raise _NotADecisionError from None\n",
        "    except ValueError:\n        effect = Effect.ALLOW\n",
        "there is no fourth effect",
    ),
    ("read-extra-keys", "if set(found) != _KEYS:", "if not _KEYS <= set(found):", "exactly a decision, or a denial"),
    (
        "read-pending-for-nothing",
        "if (effect is Effect.PENDING) != bool(requirements):",
        "if requirements and effect is Effect.DENY:",
        "pending has requirements, nothing else has",
    ),
    ("read-allow-of-nothing", "elif not visible:", "elif not visible and hidden:", "an allow grants something"),
    ("read-stage-true", "or isinstance(stage, bool) or stage < 1", "or stage < 1", "a stage is a positive integer"),
    ("read-stage-zero", "stage < 1", "stage < 0", "a stage is a positive integer"),
    (
        "read-stage-fraction",
        "if not isinstance(stage, int) or",
        "if not isinstance(stage, int | float) or",
        "a stage is a positive integer",
    ),
    ("read-any-kind", 'found.get("kind") not in _KINDS or', 'not found.get("kind") or', "four kinds, no fifth"),
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
)

DECIDE = _in(
    "decide",
    (
        "conclude-any-target",
        "if not outcome.visible <= asked.keys:",
        "if not asked.keys:",
        "an answer to what was asked",
    ),
    (
        "conclude-pending-without-grant",
        "outcome.effect is not Effect.DENY and not outcome.visible",
        "outcome.effect is Effect.ALLOW and not outcome.visible",
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
        "- supported_obligations)",
        "if not supported_obligations else ())",
        "an obligation that the caller does not support denies",
    ),
    (
        "question-not-validated",
        "if not valid(doc):",
        "if not doc:",
        "the document is validated before each evaluation",
    ),
    ("question-nan", "allow_nan=False", "allow_nan=True", "the question is JSON"),
    (
        "list-decides",
        "        if outcome.effect is not Effect.DENY:\n",
        "        if outcome.effect is Effect.PENDING:\n",
        "a list decides no call",
    ),
)

FACTS = _in(
    "facts",
    ("check-negated", 'return self.status == "ok"', 'return self.status != "failed"', "only ok is ok"),
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
        "actors-leak",
        " if identity.subject.check.ok else [],",
        ",",
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
    ("unknown-not-destructive", "destructive: bool = True", "destructive: bool = False", "unknown is the worst"),
    ("unknown-risk-low", 'risk: str = "critical"', 'risk: str = "low"', "unknown is the worst"),
    ("unknown-schema-closed", "schema_open: bool = True", "schema_open: bool = False", "unknown is the worst"),
    ("unknown-session-clean", "] = WORST_LABELS", "] = ()", "no session means the worst labels"),
    ("unknown-count-zero", "WORST_COUNT = 2**53 - 1", "WORST_COUNT = 0", "an unknown count is the worst"),
    ("risk-off-by-one", "RISKS.index(self.risk) + 1", "RISKS.index(self.risk)", "risk levels begin at 1"),
    (
        "switch-not-passed-on",
        '"switch": facts.switch.fact(),',
        '"switch": OK.fact(),',
        "a kill switch reaches policy",
    ),
    (
        "server-check-not-passed-on",
        '"server": facts.server.check.fact(),',
        '"server": OK.fact(),',
        "the registry's check reaches policy",
    ),
    ("weekday-from-zero", "at.isoweekday()", "at.weekday()", "weekdays are ISO"),
    ("evidence-dropped", "[dict(e) for e in evidence]", "[]", "evidence reaches policy"),
)

DIGEST = _in(
    "digest",
    (
        "sorting-dropped",
        "    keys.sort(key=None if all(k.isascii() for k in keys) else _utf16)\n",
        "",
        "canonical bytes do not depend on order",
    ),
    (
        "sorting-by-code-point",
        "keys.sort(key=None if all(k.isascii() for k in keys) else _utf16)",
        "keys.sort()",
        "keys sort by UTF-16 (RFC 8785)",
    ),
    ("integers-as-doubles", "out.append(str(int(value)))", "out.append(_number(float(value)))", "integers are exact"),
    (
        "integers-unbounded",
        '        if not INT64_MIN <= value <= INT64_MAX:\n            raise InvalidRequest("json", "an integer',
        '        if value is None:\n            raise InvalidRequest("json", "an integer',
        "integers lie within int64",
    ),
    ("nan-is-a-number", "if not math.isfinite(value):", "if math.isinf(value):", "NaN has no canonical form"),
    ("true-is-one", "value is None or isinstance(value, bool)", "value is None or value is False", "true is not 1"),
    (
        "exponent-without-sign",
        "'+' if power >= 0 else '-'",
        "'' if power >= 0 else '-'",
        "numbers as ECMAScript has them",
    ),
    ("small-numbers-early", "if -6 < point <= 0:", "if -4 < point <= 0:", "numbers as ECMAScript has them"),
    (
        "any-object-is-an-array",
        "isinstance(value, list | tuple)",
        "hasattr(value, '__iter__')",
        "only JSON is encoded",
    ),
    ("leaf-prefix-dropped", 'b"\\x00" + record', "record", "a leaf is no inner node (RFC 6962)"),
    ("commitment-without-salt", "hmac.new(salt, path", 'hmac.new(b"", path', "commitments are salted"),
    ("commitment-without-path", 'path.encode() + b"\\x00" + value', "value", "a commitment is to one field"),
    (
        "commitment-without-separator",
        'path.encode() + b"\\x00" + value',
        "path.encode() + value",
        "a commitment is injective",
    ),
    ("index-without-key", "hmac.new(key, canonical", 'hmac.new(b"", canonical', "an index reveals nothing"),
    (
        "index-joins-its-parts",
        "canonical(list(parts))",
        '"".join(map(str, parts)).encode()',
        "an index is injective",
    ),
)

REST = (
    *_in(
        "switches",
        (
            "switch-of-any-tenant",
            'return self.tenant in ("", tenant) and (',
            "return (",
            "a tenant's switch is its own",
        ),
        ("switch-until-flipped", "at_ns < self.until_ns", "at_ns > self.until_ns", "a switch ends at its time"),
        ("switch-ended-at-once", "self.until_ns == 0 or", "self.until_ns != 0 and", "0 means until released"),
        ("switch-of-any-server", "s.server == server and ", "", "a tool's switch is its server's"),
        (
            "switch-everything-ignored",
            'if self.scope == "everything":\n            return True',
            'if self.scope == "everything":\n            return False',
            "the widest switch reaches everything",
        ),
        (
            "switch-passes",
            "                return failed(\n",
            "                return OK or failed(\n",
            "a switch is a failed check",
        ),
    ),
    *_in(
        "answer",
        (
            "requirement-of-any-call",
            "digest([call_digest, element])",
            "digest([element])",
            "a requirement's id is for one call",
        ),
        (
            "requirement-by-code",
            "digest([call_digest, element])",
            'digest([call_digest, element["code"]])',
            "a raised quorum is another requirement",
        ),
        (
            "reply-loses-obligations",
            'tuple(found["obligations"])',
            "()",
            "a repeated answer is the same answer",
        ),
    ),
    *_in(
        "evidence",
        (
            "answer-for-any-call",
            '"call": call,\n        "kind": requirement',
            '"call": "",\n        "kind": requirement',
            "evidence is for one call",
        ),
        (
            "judge-states",
            '"kind": "judge",\n',
            '"kind": "judge",\n        "state": "met",\n',
            "a judge gives no state",
        ),
    ),
    *_in(
        "policy",
        (
            "bundle-digest-without-org",
            "            sha256_hex(self.org),\n",
            "",
            "the digest stands for every part",
        ),
        (
            "bundle-digest-without-paths",
            "[[m.path, sha256_hex(m.text.encode())]",
            "[[sha256_hex(m.text.encode())]",
            "the digest stands for every part",
        ),
        ("tests-decide", "tuple(m for m in self.modules if not m.is_test)", "self.modules", "tests never decide"),
    ),
    *_in("request", ("token-in-repr", "token: str = field(repr=False)", "token: str", "a token never shows")),
    *_in(
        "request",
        (
            "caller-fronts-all",
            '"*" in self.servers or server in self.servers',
            "True",
            "a caller asks about its servers",
        ),
    ),
    *_in(
        "strict_json",
        (
            "json-duplicate-keys",
            "return made if len(made) == len(pairs) else _Duplicate()",
            "return made",
            "duplicate keys are refused",
        ),
        ("json-depth", "if depth > max_depth:", "if depth > max_depth + 1:", "depth is limited"),
        ("json-size", "if len(raw) > max_bytes:", "if not raw:", "size is limited"),
        (
            "json-surrogates",
            "if escapes and not _well_formed(value):",
            "if not value and escapes:",
            "text is Unicode",
        ),
        ("json-overflow", "if not math.isfinite(value):", "if math.isnan(value):", "numbers keep their value"),
    ),
    *_in(
        "record",
        (
            "record-unverified-subject",
            "shown = found if found.check.ok else SubjectFact(found.check)",
            "shown = found",
            "unverified claims are not recorded",
        ),
    ),
)

CORE = (*OUTCOME, *DECIDE, *FACTS, *DIGEST, *REST)
