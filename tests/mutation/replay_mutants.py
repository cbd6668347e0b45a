"""Bugs planted in the replay of recorded decisions."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


REPLAY = (
    *_in(
        "service/replay",
        (
            "replay-any-value",
            "if path in values and committed[path] is not None and commitment_of(path, values) != committed[path]:",
            "if False:",
            "only what the record is committed to is evaluated",
        ),
        (
            "replay-another-call",
            "    return all((cut(fact) if isinstance(fact, str) else fact) == told for fact, told in pairs)\n",
            "    return bool(pairs)\n",
            "the document is of the record's call",
        ),
        (
            "replay-effect-unread",
            'return outcome.effect.value == record["effect"] and reasons and requirements and obligations',
            "return reasons and requirements and obligations",
            "another effect is a difference",
        ),
        (
            "diff-any-document",
            "    if not policy.valid(told):\n",
            "    if False:\n",
            "a fact that was not told is not supposed",
        ),
        (
            "replay-obligations-unread",
            "and reasons and requirements and obligations",
            "and reasons and requirements",
            "other obligations are a difference",
        ),
    ),
    *_in(
        "policy/bundle",
        (
            "replay-any-bundle",
            "        if bundle.digest == digest:\n",
            "        if bundle.digest:\n",
            "the policy is the one that the record names",
        ),
        (
            "replay-packs-believed",
            "revision=revision, packs=_packs(list(modules)))",
            "revision=revision)",
            "what the digest does not cover is not believed",
        ),
    ),
    *_in(
        "authoring/policy_diff",
        (
            "diff-without-service-denials",
            "    if isinstance(decision, RecordedDecision) and by_service(record):\n",
            "    if isinstance(decision, RecordedDecision) and not by_service(record):\n",
            "what the service denied is counted, not compared",
        ),
        (
            "diff-evidence-kept",
            '    evidence = [each for each in document["evidence"] if each["kind"] not in _ASKED_AGAIN]\n',
            '    evidence = list(document["evidence"])\n',
            "people are asked again",
        ),
    ),
    *_in(
        "core/forecast",
        (
            "forecast-retries",
            "        if place < 0 or call.at_ns - last_ns > DAY_NS:\n",
            "        if place < 0 or call.at_ns - last_ns >= 0:\n",
            "what is asked again is one call",
        ),
        (
            "forecast-no-grants",
            "            if timely and mine and grant.left:\n",
            "            if False:\n",
            "grants let calls through",
        ),
        (
            "forecast-no-second-try",
            "            if missed[0].again_ns is not None:\n",
            "            if False:\n",
            "agents ask again",
        ),
        (
            "forecast-one-vote",
            '        votes[seat["group_id"]] += seat["n"]\n',
            '        votes[seat["group_id"]] += 1\n',
            "a seat may want several",
        ),
    ),
    *_in(
        "core/outcome",
        (
            "observed-gate",
            '    return all(reason.rule == "pdp.gate" and reason.code == NOT_GRANTED for reason in named)\n',
            "    return bool(named) or True\n",
            "what fails the gate binds an observed caller",
        ),
    ),
    *_in(
        "core/request",
        (
            "observed-for-ever",
            "return at_ns < self.observed_until_ns and not",
            "return self.observed_until_ns > 0 and not",
            "an observation ends",
        ),
        (
            "observed-everywhere",
            'and not self.observed_servers.isdisjoint(("*", server))',
            "and bool(self.observed_servers)",
            "an observation is about its servers",
        ),
    ),
    *_in(
        "service/approvals/resolve",
        (
            "observed-asks-people",
            "enforcement=OBSERVED, valid_until_ns=until_ns)\n            return\n",
            "enforcement=OBSERVED, valid_until_ns=until_ns)\n",
            "nobody is asked about what is carried out in any case",
        ),
    ),
    *_in(
        "service/shadow",
        (
            "shadow-without-bound",
            "        if len(self._queue) >= QUEUED or self._bytes + size > QUEUED_BYTES:\n",
            "        if False:\n",
            "a shadow that does not keep up takes no memory",
        ),
        (
            "shadow-never-rests",
            "        if now < each.resumes:\n",
            "        if False:\n",
            "a bundle that loops does not take a core",
        ),
        (
            "shadow-says-nothing",
            "        if part:\n            reasons",
            "        if False:\n            reasons",
            "what a shadow says otherwise is recorded",
        ),
        (
            "shadow-of-the-service",
            "if policy is None or not document or by_service(record):",
            "if policy is None or not document:",
            "a policy is compared with a policy",
        ),
        (
            "shadow-forgets-the-bundle",
            "        await self.recorder.commit_all((replace(entry, artefacts=kept),))\n",
            "        await self.recorder.commit_all((entry,))\n",
            "the bundle of a shadow is kept by digest",
        ),
    ),
)
