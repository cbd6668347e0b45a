"""Bugs planted where people's and the judge's answers meet a decision: opened, resumed, redeemed, once."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/service/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


REDEEMING = (
    *_in(
        "batch",
        (
            "what-was-left-to-others",
            "if _related(others, keys):",
            "if True:",
            "what is another's is no fact",
        ),
        ("what-the-store-said-once", "if begun != start:", "if begun is None:", "an item is decided on what holds"),
        ("guesses-stand", "if found != each.guess:", "if False:", "an item sees what earlier ones left"),
        (
            "what-ends-is-passed-over",
            "        return None\n",
            "        return frozenset()\n",
            "what is gone is no fact",
        ),
        (
            "guesses-of-old",
            "run.ahead = run.trail.copy()",
            "pass",
            "an item sees what earlier ones left, and not what they might have",
        ),
    ),
    *_in(
        "approvals/redeem",
        ("nothing-is-spent", "        if not used:\n", "        if used:\n", "I2: an allow spends what it rests on"),
        (
            "refused-is-spent",
            'return element["state"] == "met" if "state" in element else',
            'return element["state"] == "open" if "state" in element else',
            "I2: what was met is spent",
        ),
    ),
    *_in(
        "approvals/resolve",
        ("any-token-counts", "if resume is None or not _own(resume, call):", "if resume is None:", "I9"),
        (
            "token-of-another-call",
            "if resume.digest != call.call.digest:",
            "if False:",
            "I1: a token belongs to its call",
        ),
        (
            "spent-is-forgotten",
            "if approval.state is State.REDEEMED and mine:",
            "if approval.state is State.DENIED and mine:",
            "I2: a redeemed request stays redeemed",
        ),
        (
            "overtaken-asks-again",
            "mine = meant or approval.id in decision.redeeming or (",
            "mine = meant or (",
            "I2: who was overtaken hears that it is used, and asks nobody anew",
        ),
        ("told-again-for-ever", "and at_ns - approval.resolved_ns < REPLAY_NS", "and True", "I2"),
        ("ended-is-evaluated", "if meant and state in _OVER:", "if False:", "I7: what has ended is told as ended"),
    ),
    *_in(
        "facts",
        (
            "told-again-to-anybody",
            'call_id = call_id_of(ask) if caller.dedupes_redemptions else ""',
            "call_id = call_id_of(ask)",
            "I2",
        ),
        (
            "told-again-by-any-call-id",
            "call.subject.issuer, call.subject.id, indexes[0], call_id)",
            "call.subject.issuer, call.subject.id, indexes[0])",
            "I2: by its call id only",
        ),
    ),
    *_in(
        "approvals/evidence",
        ("refusals-are-no-answers", 'GIVEN = ("met", "refused")', 'GIVEN = ("met",)', "the cool-down holds"),
        (
            "a-refusal-is-met",
            '"met" if state == "met" else "refused", until',
            '"met", until',
            "a refusal is no approval",
        ),
    ),
    *_in(
        "approvals/evidence",
        ("grant-of-who-acts-in-the-call", "tally(wanted, votes, asked.call, standing).met", "True", "I3"),
        ("grant-by-others-votes", "if vote.human in grant.issued_by", "", "a grant is of those who agreed to it"),
    ),
    *_in(
        "approvals/resolve",
        (
            "rested-on-nothing",
            "decision.redeeming |= {each.source.id for each in held if isinstance(each.source, Approval)}",
            "pass",
            "I2: who was overtaken hears that it is used, and asks nobody anew",
        ),
        (
            "used-while-it-waited",
            "        if self.resume(decision) is not None:\n",
            "        if False:\n",
            "I2: who still waited and was overtaken asks nobody anew",
        ),
    ),
    *_in(
        "approvals/requests",
        (
            "never-backs-off",
            "        if wait_ns > 0:\n",
            "        if False:\n",
            "people are not asked till they tire",
        ),
        (
            "no-cap",
            "if queue.mine + opened >= self.caps.per_subject:",
            "if False:",
            "caps hold",
        ),
        (
            "expired-is-open",
            "and approval.state in OPEN and at_ns < approval.expires_ns:",
            "and approval.state in OPEN:",
            "I5: at equality expiry wins",
        ),
    ),
    *_in(
        "judge_evidence",
        ("used-verdict-counts", "if answered.redemption_id or at_ns", "if at_ns", "a verdict is used once"),
        (
            "many-wordings-at-once",
            "key = (asked.tenant, asked.index, *named(element))",
            "key = (asked.tenant, asked.index, *named(element), basis)",
            "about one call there is one session at a time",
        ),
        (
            "judge-sees-no-history",
            "for row in facts.session.label_sources:",
            "for row in ():",
            "the judge sees which calls labelled subject and agent",
        ),
        (
            "allow-on-the-agents-words",
            "ASSERTED if unlocks and seen.holds_asserted else opinion.status",
            "opinion.status",
            "what nobody vouched for unlocks nothing",
        ),
        (
            "adviser-bound-by-other-words",
            "return None if heard else held",
            "return held",
            "an adviser whose other words refused nothing is asked",
        ),
        (
            "another-wordings-allow",
            'return held.element["verdict"] == "deny" or held.source.basis == basis',
            "return True",
            "what unlocks counts for what the judge saw",
        ),
        (
            "refused-meanwhile",
            "> asked.facts.judge_refusals",
            "> asked.facts.judge_refusals + 10**9",
            "an allow that comes after a refusal waits until policy knows of it",
        ),
        (
            "any-basis-counts",
            'if element["verdict"] == "deny" or answered.basis ==',
            "if True or answered.basis ==",
            "what unlocks counts for what the judge saw",
        ),
        (
            "refusal-by-basis",
            'if element["verdict"] == "deny" or answered.basis ==',
            "if answered.basis ==",
            "a refusal sticks whatever is said around it",
        ),
    ),
)
