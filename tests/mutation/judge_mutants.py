"""Bugs planted in what a judge is shown, in how its answer is read, and in how prompts come in."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


VERDICT = _in(
    "core/judge/verdict",
    (
        "second-allow-for-a-deny",
        'return first.get("verdict") == "allow" and first.get("nonce")',
        'return first.get("nonce")',
        "asked again, only what was an allow becomes one",
    ),
    (
        "second-allow-for-a-contradiction",
        'not first.keys() <= _KEYS or first.get("violated"):',
        "not first.keys() <= _KEYS:",
        "an allow that names a violated rule becomes none by being asked again",
    ),
    (
        "second-allow-is-surer",
        "and not less_sure",
        "",
        "no doubt goes away by being asked again",
    ),
    (
        "deny-of-wrong-form-is-nothing",
        "if status != OK and (refusal :=",
        "if status == OK and (refusal :=",
        "a deny is one in any form",
    ),
    (
        "verdict-any-nonce",
        'if answer["nonce"] != rendered.nonce:',
        'if not answer["nonce"]:',
        "an answer that does not know the nonce is no verdict",
    ),
    (
        "verdict-nonce-prefix",
        'if answer["nonce"] != rendered.nonce:',
        'if not rendered.nonce.startswith(str(answer["nonce"])):',
        "the whole nonce",
    ),
    (
        "verdict-extra-text",
        "parse_object(text.strip().encode()",
        'parse_object(text[text.find("{") : text.rfind("}") + 1].encode()',
        "one object and nothing else",
    ),
    (
        "verdict-cut-off",
        "    if finish != STOP:\n",
        '    if finish != STOP and finish != "length":\n',
        "an answer that was cut off is no verdict",
    ),
    (
        "verdict-filtered",
        "    if finish != STOP:\n",
        '    if finish != STOP and finish != "content_filter":\n',
        "a filtered answer is no verdict",
    ),
    (
        "verdict-refused",
        "    if finish != STOP:\n",
        '    if finish != STOP and finish != "refusal":\n',
        "a refusal is no verdict",
    ),
    (
        "verdict-unknown-finish",
        '_UNFINISHED.get(finish, "malformed"), {}',
        "_UNFINISHED.get(finish, OK), {}",
        "who stopped for another reason did not answer",
    ),
    ("verdict-further-keys", "if answer.keys() != _KEYS or", "if not _KEYS <= answer.keys() or", "a closed form"),
    (
        "verdict-any-word",
        'or answer["verdict"] not in VERDICTS',
        'or not answer["verdict"]',
        "three verdicts, no fourth",
    ),
    ("verdict-sure-beyond-one", "and 0 <= value <= 1", "and 0 <= value", "confidence is from 0 to 1"),
    ("verdict-sure-below-zero", "and 0 <= value <= 1", "and value <= 1", "confidence is from 0 to 1"),
    ("verdict-true-is-sure", " and not isinstance(value, bool)", "", "confidence is a number"),
    ("verdict-long-rationale", "> MAX_RATIONALE", "> 2 * MAX_RATIONALE", "a rationale has at most 280 characters"),
    (
        "verdict-unknown-rules",
        "any(rule not in rules for rule in violated)",
        "any(not isinstance(rule, str) for rule in violated)",
        "rules of the prompt only",
    ),
    (
        "verdict-allows-a-breach",
        'return not (violated and answer["verdict"] == "allow")',
        "return True",
        "an answer does not contradict itself",
    ),
    (
        "verdict-allows-unseen",
        'if answer["verdict"] == "allow" and rendered.cut:',
        'if answer["verdict"] == "allow" and "arguments" in rendered.cut:',
        "nobody allows what was not shown whole",
    ),
    (
        "verdict-deny-by-form",
        "if status != OK and (refusal := _refusal(text, rendered)) is not None:",
        "if status != OK and False and (refusal := _refusal(text, rendered)) is not None:",
        "a deny is one in any form",
    ),
    ("verdict-anybodys-deny", 'if ("nonce", rendered.nonce) in members and', "if", "only our judge denies"),
    (
        "verdict-kinder-second",
        "return second.status == OK\n",
        "return second.status == OK\n    return True\n",
        "a second answer makes no allow of what was none",
    ),
    ("verdict-second-despite-rule", ' or first.get("violated")', "", "an allow that names a rule stays none"),
    ("verdict-second-surer", " and not less_sure", "", "a second answer makes an allow no surer"),
    (
        "verdict-repairs-a-nonce",
        'frozenset({"malformed", "extra_text"})',
        'frozenset({"malformed", "extra_text", "nonce"})',
        "a wrong nonce is never mended",
    ),
)

SEEN = _in(
    "core/judge/judge_input",
    (
        "seen-any-observation",
        'return "agent" in (self.task_source, self.observation_source)',
        'return self.task_source == "agent"',
        "an observation that nobody vouched for unlocks nothing",
    ),
    (
        "seen-every-observation-vouched",
        'return "caller" if content.observation_vouched else "agent"',
        'return "caller"',
        "a caller vouches for what it may vouch for",
    ),
)

RENDER = _in(
    "core/judge/render",
    (
        "render-block-closable",
        'return re.sub(re.escape(nonce), "⟨the marker, written by the data⟩", text, flags=re.IGNORECASE)',
        "return text",
        "nothing in data closes a block",
    ),
    (
        "render-without-history",
        'Block("history", "history", _history(judge_input)),',
        "",
        "the history is shown, and its length takes no other part's share",
    ),
    (
        "render-nonce-in-capitals",
        ", text, flags=re.IGNORECASE)",
        ", text)",
        "the nonce in whatever case",
    ),
    (
        "render-tail-closable",
        "+ note + unmarked(part.tail, nonce)",
        "+ note + part.tail",
        "nothing in data closes a block, behind a cut either",
    ),
    ("render-short-nonce", "[0-9a-f]{32,128}", "[0-9a-f]{16,128}", "a nonce has 128 bits"),
    (
        "render-hidden-characters",
        "_ODD.sub(lambda match: visible(match[0], lines=True, alike=False), ",
        "_ODD.sub(lambda match: match[0], ",
        "what cannot be seen is made visible",
    ),
    (
        "render-marks-without-letter",
        'r"(?:[!-~]?[^ -~\\n]++)++',
        'r"[^ -~\\n]++',
        "a letter and its marks are looked at together",
    ),
    ("render-ascii-controls", "[^ -~\\n]++)++", "[^\\x00-~\\n]++)++", "control characters are made visible"),
    (
        "render-cut-hidden",
        'note = f"\\n=== {nonce} cut here:',
        'note = "" and f"\\n=== {nonce} cut here:',
        "a cut is shown",
    ),
    (
        "render-cut-untold",
        "cut=tuple(b.block.name for b in blocks if b.left_out),",
        "cut=(),",
        "who reads the verdict knows of a cut",
    ),
    (
        "render-cut-without-end",
        "    head = int(kept * _HEAD)\n",
        "    head = kept\n",
        "the end of a text that was cut is shown",
    ),
    (
        "render-budget-ignored",
        "left = budget - sum(given.values())",
        "left = budget",
        "the budget holds",
    ),
    (
        "render-one-part-takes-all",
        '("arguments", 30),',
        '("arguments", 0),',
        "the length of one part takes no other part away",
    ),
    (
        "render-agents-task-vouched",
        '"agent": "stated by the agent itself, proven by nobody"',
        '"agent": "signed by the user"',
        "the source of a task is told",
    ),
    (
        "render-unknown-source-trusted",
        '_SOURCES.get(judge_input.task_source, _SOURCES["none"])',
        '_SOURCES.get(judge_input.task_source, _SOURCES["caller"])',
        "an unknown source proves nothing",
    ),
    (
        "render-observation-trusted",
        '"observation (untrusted)"',
        '"observation"',
        "an observation is marked untrusted",
    ),
    (
        "render-secret-in-task",
        "redacted_text(judge_input.task) or",
        "judge_input.task or",
        "no secret in the task is shown",
    ),
    (
        "render-form-writes-the-nonce",
        '"nonce": text,',
        '"nonce": {"type": "string", "const": MARKER},',
        "whoever answers has to know the nonce",
    ),
    (
        "render-digest-without-data",
        "[[b.block.title, b.head, b.tail, b.left_out] for b in blocks]",
        "[[b.block.title, b.left_out] for b in blocks]",
        "a verdict is kept for what was seen",
    ),
    (
        "render-digest-without-system",
        "seen: Json = [FORMAT, sha256, text, data",
        "seen: Json = [FORMAT, sha256, data",
        "a verdict is kept for the sections that were shown",
    ),
    (
        "render-all-sections",
        "sections = prompts.sections_for(prompt_id, judge_input)",
        "sections = prompts.sections",
        "a section speaks of its own tools",
    ),
)

PROMPT = _in(
    "core/judge/prompt",
    (
        "prompt-digest-without-sections",
        '"sections": sections})',
        '"sections": []})',
        "a changed section is another prompt",
    ),
    (
        "prompt-digest-without-settings",
        '            "settings": dict(self.settings),\n',
        "",
        "changed settings are another prompt",
    ),
    (
        "prompt-applies-anywhere",
        "and _any((judge_input.tool,), self.tools)",
        "and _any((judge_input.server,), self.servers)",
        "a section speaks of its own tools",
    ),
    (
        "prompt-one-hint-enough",
        "and all(hints[name] is required",
        "and any(hints[name] is required",
        "every entry of a way holds",
    ),
    (
        "prompt-of-others",
        "return not self.prompts or prompt_id in self.prompts",
        "return True",
        "a section belongs to the prompts that it names",
    ),
)

MATTER = _in(
    "core/judge/judge_input",
    ("matter-unknown-is-harmless", "if not target.check.ok:", "if target is None:", "unknown is the worst"),
    (
        "matter-no-sinks",
        "sinks: tuple[str, ...] = SINK_KINDS",
        "sinks: tuple[str, ...] = ()",
        "unknown is the worst",
    ),
)

REDACT = _in(
    "core/judge/redact",
    (
        "redact-prefix-only",
        "            yield each.start, each.end, label\n",
        "            yield each.start, each.start + 16, label\n",
        "the whole secret goes",
    ),
    (
        "redact-key-stays",
        "            for line in _KEY_TEXT.finditer(text[begin.end() : end]):\n",
        "            for line in _KEY_TEXT.finditer(text[end:end]):\n",
        "a private key goes with all its lines",
    ),
    (
        "redact-key-hides-text",
        "            yield *begin.span(), label\n",
        "            yield begin.start(), end, label\n",
        "nobody hides text behind the beginning of a key",
    ),
    (
        "redact-names-stay",
        "name = clean = redacted_text(key)",
        "name = clean = key",
        "secrets in names go too",
    ),
    (
        "redact-names-collide",
        "while name in members or (name != key and name in value):",
        "while False:",
        "no argument gets lost",
    ),
    (
        "redact-observation-stays",
        "redacted_text(observation))",
        "observation)",
        "secrets in the observation go",
    ),
    (
        "redact-a-name-hides",
        "members[name] = _value(inner)",
        "members[name] = _value(inner) if name == key else name",
        "an argument named like a secret hides nothing",
    ),
)

LOADED = (
    *_in(
        "judge/prompts",
        (
            "prompts-broken-come-in",
            "        if read.prompts is not None:\n            self.current",
            "        if read.prompts is None:\n            self.current",
            "what was last good stays",
        ),
        (
            "prompts-errors-ignored",
            "good = not any(problem.severity == ERROR for problem in sorted_problems)",
            "good = bool(prompts)",
            "what lint calls an error is not used",
        ),
        (
            "prompts-anywhere",
            '("/" in path and not path.startswith((SECTIONS, DEFINITIONS)))',
            "False",
            "a file has its place",
        ),
    ),
    *_in(
        "judge/lint",
        ("lint-ids-twice", "    yield from _twice(sections)\n", "", "an id stands for one file"),
        (
            "lint-contradictions",
            "if other.verdict != example.verdict:",
            "if other.verdict == example.verdict and other is not example:",
            "contradictory examples are found",
        ),
        ("lint-over-budget", "    if used > given:\n", "    if used > 10 * given:\n", "budgets hold"),
        (
            "lint-unknown-placeholder",
            "        if name not in required:\n",
            "        if not name:\n",
            "placeholders are ours",
        ),
        (
            "lint-marker-missing",
            "        if len(lines) != 1:\n",
            "        if len(lines) > 1:\n",
            "a base text has its marker",
        ),
        ("lint-unknown-rules", "if rule not in known and (", "if not rule and (", "rules that are named exist"),
        (
            "lint-empty-lists",
            "if not file.body.items.get(name):",
            "if name not in file.body.items:",
            "no list is empty",
        ),
    ),
    *_in(
        "judge/prompt_parser",
        (
            "written-hidden-characters",
            "if char is not None:",
            "if char is None and line is None:",
            "nothing hides in a prompt",
        ),
    ),
)

JUDGE = (*VERDICT, *SEEN, *RENDER, *PROMPT, *MATTER, *REDACT, *LOADED)
