"""Bugs planted in what people's answers come to (`pdp/core/approvals`): at least one for each clause of I1 to I9."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/core/approvals/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


_OVER = """if approval.state not in OPEN or approval.expires_ns <= standing.at_ns:
        return "approval.too_late"
    if requirement.kind"""

COUNT = _in(
    "quorum",
    (
        "self-vote-by-linked-account",
        "    if any(human in directory.humans(party) for party in parties):",
        "    if account in parties:",
        "I3: linked accounts are one human",
    ),
    ("actor-chain-votes", "parties = (call.subject, *call.actors)", "parties = (call.subject,)", "I3"),
    ("further-actor-votes", "(call.subject, *call.actors)\n", "(call.subject, *call.actors[:1])\n", "I3"),
    ("nameless-actor-votes", "for actor in call.actors if not actor.issuer}", "for actor in ()}", "I3"),
    ("agent-holds-a-seat", " | {call.agent}", "", "I3: agents hold no seat"),
    (
        "party-counts-at-the-recount",
        "any(is_party(call, directory, human, vote.account) for human in (me, vote.human))",
        "False",
        "I3: the rule holds when votes are counted again",
    ),
    (
        "absent-party-votes",
        "or is_party(approval.call, directory, behalf):",
        "or False:",
        "I3: nobody stands in for the subject",
    ),
    ("lost-role-counts", "    return groups & frozenset(vote.groups)", "    return frozenset(vote.groups)", "I6"),
    ("later-role-counts", "    return groups & frozenset(vote.groups)", "    return groups", "I6: at the vote"),
    ("disabled-deputy-counts", "if not directory.active(me) or any(", "if any(", "I6: eligible now"),
    ("disabled-subject-confirms", "and directory.active(me) and me", "and me", "I3: nobody disabled"),
    (
        "one-human-fills-two-seats",
        "        if seen.isdisjoint(people):\n            kept.append(vote)",
        "        kept.append(vote)",
        "I6: one human, one seat",
    ),
    (
        "linked-account-fills-another-seat",
        'return frozenset({vote.human, directory.human(vote.account), vote.behalf} - {""})',
        'return frozenset({vote.human, vote.behalf} - {""})',
        "I6: linked accounts are one human, whenever they were linked",
    ),
    (
        "deputy-votes-twice",
        'return frozenset({vote.human, directory.human(vote.account), vote.behalf} - {""})',
        'return frozenset({vote.behalf or vote.human} - {""})',
        "I6: no human has two parts",
    ),
    (
        "deputy-votes-besides",
        '        if not people.isdisjoint({me, behalf} - {""}) and not same and not is_back:',
        "        if False:",
        "I6: no human has two parts",
    ),
    (
        "delegation-without-end",
        "row.from_ns <= standing.at_ns < row.until_ns and not ended",
        "row.from_ns <= standing.at_ns",
        "I6: a deputy stands in for a time",
    ),
    (
        "delegation-at-its-end",
        "standing.at_ns < row.until_ns",
        "standing.at_ns <= row.until_ns",
        "I5: at the very end it is over",
    ),
    (
        "delegation-not-needed",
        "    if vote.behalf and (row is None or is_party",
        "    if vote.behalf and (is_party",
        "I6: eligible now",
    ),
    (
        "first-vote-stands",
        "    for vote in reversed(votes):",
        "    for vote in votes:",
        "the last vote of a human counts",
    ),
    ("zero-quorum-is-met", "met = bool(filled) and all(n >= seat.n", "met = all(n >= seat.n", "I6: no quorum"),
    ("one-is-enough", "all(n >= seat.n for", "any(n >= seat.n for", "I6: each seat"),
    ("one-short", "all(n >= seat.n for", "all(n >= seat.n - 1 for", "I6: as many as it needs"),
    (
        "nobody-moves-over",
        "or any(place(other, tried) for other in sitting):",
        "or False:",
        "I6: whoever fits in two groups makes room",
    ),
    (
        "crowded-seat",
        "if len(sitting) < seat.n or",
        "if len(sitting) <= seat.n or",
        "I6: a seat has as many as it needs",
    ),
    ("denials-ignored", "met and not refused, refused", "met, refused", "I6: a denial outweighs full seats"),
    ("deny-quorum-off-by-one", "denials >= requirement.deny_quorum", "denials > requirement.deny_quorum", "I6"),
    (
        "weak-assurance-counts",
        "strong = [vote for vote in approvals if strong_enough(requirement, vote.assurance)]",
        "strong = approvals",
        "I6: as strongly identified as policy asks",
    ),
    (
        "anybody-confirms",
        "and me == directory.human(call.subject)\n",
        "\n",
        "I3: confirmation counts the subject alone",
    ),
    ("confirmed-by-a-deputy", "return not vote.behalf and directory", "return directory", "I3: the subject alone"),
    (
        "claims-never-age",
        "if seen is None or standing.at_ns - seen.at_ns > standing.claims_max_age_ns:",
        "if seen is None:",
        "I6: eligible now, as far as we have seen lately",
    ),
    (
        "any-group-may-be-claimed",
        "(frozenset(claimed) & directory.claimable)",
        "frozenset(claimed)",
        "I6: only some groups may be claimed",
    ),
    (
        "expired-vote-at-equality",
        'approval.expires_ns <= standing.at_ns:\n        return "approval.too_late"\n    if requirement.kind',
        'approval.expires_ns < standing.at_ns:\n        return "approval.too_late"\n    if requirement.kind',
        "I5: at the very instant expiry wins",
    ),
    (
        "vote-after-the-end",
        _OVER,
        _OVER.replace("approval.state not in OPEN or ", ""),
        "I7: a final state has no exit",
    ),
    (
        "vote-from-another-tenant",
        "    if person.tenant != approval.tenant:",
        '    if person.tenant == "":',
        "I9: elsewhere an id does not exist",
    ),
    (
        "anybody-is-eligible",
        "    if not seats_of(requirement, me, person",
        "    if requirement is None and not seats_of(requirement, me, person",
        "I6: eligible at the vote",
    ),
    (
        "deputys-own-groups",
        "    return eligible_groups(requirement, row.absent, (), directory) &",
        "    return eligible_groups(requirement, me, claimed, directory) &",
        "I6: the absent one's eligibility counts",
    ),
    (
        "subject-could-fill-a-seat",
        " and not is_party(call, directory, human)\n",
        "\n",
        "what only the subject could approve is unsatisfiable",
    ),
)  # fmt: skip

VOTE = _in(
    "vote",
    (
        "vote-for-changed-arguments",
        "    if ballot.presented != presented(approval, shown):",
        "    if not ballot.presented:",
        "I1: a vote is for what was shown",
    ),
    ("vote-without-looking", '        return "approval.erased"', '        return ""', "I1: nobody approves blindly"),
    (
        "late-vote-by-a-slow-clock",
        "at_ns = max(ballot.at_ns, standing.at_ns)",
        "at_ns = ballot.at_ns",
        "I5: the later instant counts",
    ),
    (
        "claims-of-before",
        "return replace(standing, at_ns=at_ns, seen={**standing.seen, person.account: seen})",
        "return replace(standing, at_ns=at_ns)",
        "a vote counts by what its token says now",
    ),
    (
        "denial-below-quorum-revokes-nothing",
        "        if before is State.APPROVED:\n            return Event.REVOKE\n",
        "",
        "any denial ends an approval",
    ),
    (
        "denied-is-filled",
        "before is State.PENDING and after.met else",
        "before is State.PENDING and all(after.filled) else",
        "I6: denials count when the last seat is filled",
    ),
    ("anybody-cancels", 'if "operate" not in person.roles and me', 'if "operate" in person.roles and me', "I7"),
    (
        "cancel-after-the-end",
        "approval.expires_ns <= standing.at_ns:\n        return _refused",
        "approval.expires_ns < standing.at_ns:\n        return _refused",
        "I5: at the very instant expiry wins",
    ),
    ("silence-is-a-reason", "not ballot.reason.strip()", "not ballot.reason", "a reason where policy asks for one"),
    (
        "passkey-without-assertion",
        'return "approval.assurance" if unsigned or not',
        'return "approval.assurance" if not',
        "a passkey's assertion stands in the record",
    ),
    (
        "weak-vote",
        "if unsigned or not strong_enough(requirement, person.assurance) else",
        "if unsigned else",
        "I6: as strongly identified as policy asks",
    ),
    (
        "grant-beyond-the-offer",
        "fit = within(terms, requirement.grant) and fits(",
        "fit = fits(",
        "a grant keeps within the offer",
    ),
    (
        "grant-by-one-of-two",
        "or len(agreed) < len(seated):",
        "or not agreed:",
        "all who fill a seat agree to a grant",
    ),
    (
        "grant-outlives-its-approval",
        "return replace(cast, ends_grants=_granted(votes))\n    if event",
        "return cast\n    if event",
        "what is revoked leaves no grant behind",
    ),
)  # fmt: skip

REDEEM = _in(
    "redeem",
    (
        "stored-approval-is-believed",
        "met = approval.state is State.APPROVED and counted.met",
        "met = approval.state is State.APPROVED",
        "I6: votes are counted again",
    ),
    (
        "redeems-what-is-pending",
        "met = approval.state is State.APPROVED and counted.met",
        "met = counted.met",
        "I7: only what is approved is redeemed",
    ),
    (
        "double-redemption",
        "    if approval.state is not State.APPROVED:",
        "    if approval.state not in (State.APPROVED, State.REDEEMED):",
        "I2: at most once",
    ),
    (
        "redeemed-answers-again",
        "    if approval.state not in (State.PENDING, State.APPROVED) or",
        "    if approval.state not in (State.PENDING, State.APPROVED, State.REDEEMED) or",
        "I2: what is over has no answer",
    ),
    (
        "redeemed-at-its-end",
        '    if approval.expires_ns <= standing.at_ns:\n        return "approval.expired"',
        '    if approval.expires_ns < standing.at_ns:\n        return "approval.expired"',
        "I5: at the very instant expiry wins",
    ),
    (
        "answers-at-its-end",
        "State.APPROVED) or approval.expires_ns <= standing.at_ns:",
        "State.APPROVED) or approval.expires_ns < standing.at_ns:",
        "I5: at the very instant expiry wins",
    ),
    (
        "other-arguments-redeem",
        "    if mine != theirs:",
        "    if mine.tool != theirs.tool:",
        "I1: the very call that was opened",
    ),
    (
        "other-call-answers",
        "    if approval.call != call or approval.canary:",
        "    if approval.canary:",
        "I1: the very call that was opened",
    ),
    (
        "stale-policy-redeems",
        "    if wanted_by(approval.requirement) != requirement:",
        "    if wanted_by(approval.requirement) is None:",
        "I4: the requirement of now",
    ),
    (
        "cross-tenant-id",
        "if approval.tenant != asked.tenant or approval.canary:",
        "if approval.canary:",
        "I9: elsewhere an id does not exist",
    ),
    (
        "another-sessions-id",
        "call.caller, call.session\n",
        "call.caller\n",
        "I9: in another session an id does not exist",
    ),
    (
        "canary-redeemed",
        "if approval.tenant != asked.tenant or approval.canary:",
        "if approval.tenant != asked.tenant:",
        "a canary is never executable",
    ),
    (
        "canary-answers",
        "    if approval.call != call or approval.canary:",
        "    if approval.call != call:",
        "a canary is never executable",
    ),
    (
        "denied-redeems",
        '    if counted.refused:\n        return "approval.denied"\n    return "" if counted.met',
        '    return "" if counted.met or counted.refused',
        "I6: a denial outweighs full seats",
    ),
    (
        "no-cool-down",
        "    if approval.state in (State.DENIED, State.REVOKED):",
        "    if approval.state is State.DENIED:",
        "what was revoked stays refused for a while",
    ),
    (
        "endless-cool-down",
        "if standing.at_ns < until else",
        "if standing.at_ns <= until else",
        "the cool-down has an end",
    ),
)

STANDING = (
    *_in(
        "grants",
        (
            "grant-with-other-arguments",
            "    return valid(grant.arguments_schema, asked.value)",
            "    return True",
            "I1: a grant covers the arguments that were agreed to",
        ),
        (
            "canary-leaves-a-grant",
            "call.manifest_sha256 if not approval.canary else call.digest",
            "call.manifest_sha256",
            "a canary is never executable",
        ),
        (
            "grant-of-any-argument",
            "arguments_schema=terms.arguments_schema or exact,",
            'arguments_schema=terms.arguments_schema or b"{}",',
            "I1: exactly the arguments, unless said otherwise",
        ),
        ("grant-beyond-its-uses", "grant.used < grant.uses)", "grant.used <= grant.uses)", "I2: no more uses"),
        ("grant-at-its-end", "at_ns < grant.expires_ns", "at_ns <= grant.expires_ns", "I5"),
        (
            "ended-grant-covers",
            "return grant.state is GrantState.ACTIVE and timely",
            "return timely",
            "I7: what has ended is over",
        ),
        (
            "grant-in-any-session",
            "    if grant.session and (grant.session != call.session or",
            "    if grant.session and (",
            "I9",
        ),
        (
            "grant-of-an-earlier-session",
            " or grant.issued_ns < asked.facts.session.started_ns):",
            "):",
            "what was bound to a session ends with it",
        ),
        (
            "grant-of-another-tenant",
            "    same = (grant.tenant, grant.subject",
            "    same = (asked.tenant, grant.subject",
            "I9: elsewhere it does not exist",
        ),
        (
            "grant-for-another-definition",
            "(call.server, call.tool, call.manifest_sha256)",
            "(call.server, call.tool, grant.manifest_sha256)",
            "I1: a changed tool is another tool",
        ),
        (
            "grant-of-who-left",
            "all(directory.active(human) for human in grant.issued_by)",
            "any(directory.active(human) for human in grant.issued_by)",
            "who left vouches for nothing",
        ),
        ("unbounded-within-a-bound", "if most and not 1 <= bound <= most:", "if most and not bound <= most:", "I2"),
        (
            "widest-of-all-terms",
            "uses = min((t.uses",
            "uses = max((t.uses",
            "a grant is the narrowest that all agreed to",
        ),
    ),
    *_in(
        "consents",
        (
            "consent-for-another-agent",
            "consent.agent != call.agent",
            "not call.agent",
            "a consent is for one agent",
        ),
        ("consent-for-any-agent", "if not consent.agent or consent", "if consent.agent and consent", "one agent"),
        ("consent-for-another-purpose", " or consent.purpose != requirement.purpose:", ":", "one purpose"),
        (
            "consent-of-another",
            " or consent.subject != call.subject:",
            ":",
            "I9: nobody agrees for somebody else",
        ),
        ("consent-at-its-end", "<= at_ns < consent.expires_ns", "<= at_ns <= consent.expires_ns", "I5"),
        ("consent-taken-back", "return not consent.ended_ns and", "return", "I7: what has ended is over"),
        (
            "consent-for-other-kinds",
            'if requirement.kind != "consent" or consent.tenant',
            "if consent.tenant",
            "a consent implies no approval",
        ),
    ),
    *_in(
        "states",
        (
            "expired-may-be-redeemed",
            "    Transition(State.APPROVED, Event.REDEEM, State.REDEEMED),\n",
            "    Transition(State.APPROVED, Event.REDEEM, State.REDEEMED, timely=False),\n",
            "I5: no redemption at or after the expiry",
        ),
        (
            "redeemed-may-be-redeemed",
            "    Transition(State.APPROVED, Event.REDEEM, State.REDEEMED),\n",
            "    Transition(State.APPROVED, Event.REDEEM, State.APPROVED),\n",
            "I2: at most once",
        ),
        (
            "denied-may-be-approved",
            "    Transition(State.PENDING, Event.REFUSE, State.DENIED),\n",
            "    Transition(State.PENDING, Event.REFUSE, State.PENDING),\n",
            "I7: a denial is final",
        ),
    ),
    *_in(
        "view",
        (
            "presented-without-arguments",
            '        "arguments": json.loads(shown.arguments),\n',
            "",
            "I1: what is presented is the whole",
        ),
        (
            "presented-without-the-call",
            '        "call": _plain(asdict(approval.call)),\n',
            "",
            "I1: what is presented is the whole",
        ),
        (
            "secret-shown",
            "    if secrets or at_secret:",
            "    if secrets:",
            "secrets are shown by kind",
        ),
    ),
    *_in(
        "records",
        (
            "record-of-another-state",
            "str(row.after), move.version + 1, move.at_ns)",
            "str(approval.state), move.version + 1, move.at_ns)",
            "I8: the log rebuilds the rows",
        ),
        (
            "reason-in-the-log",
            '        "reason": sealed(salt, "reason", vote.reason),',
            '        "reason": vote.reason or None,',
            "a record holds no text that can be erased",
        ),
        (
            "record-commits-without-salt",
            '    if not salt:\n        raise ValueError(f"the {path} needs a salt")\n',
            "",
            "a commitment without a salt can be guessed",
        ),
    ),
    *_in(
        "text_safety",
        ("bidi-shown", '{"Cc", "Cf", "Cn"', '{"Cc", "Cn"', "every format character is spelled out"),
        ("private-use-shown", '"Cn", "Co", "Cs"', '"Cn", "Cs"', "every private character is spelled out"),
        ("padding-shown", "if length == 1 and not edge else", "* length if length else", "padding is counted"),
        ("tags-shown", "    (0xE0000, 0xE0FFF),\n", "    (0xE0001, 0xE007F),\n", "every ignorable character"),
        ("brackets-shown", "or char in _BRACKETS", "", "nothing passes for what we write"),
        ("marks-pile-up", "and marks <= MAX_MARKS", "", "no piles of marks"),
        ("scripts-mixed", "(latin and script in _ALIKE) or drawn_so", "drawn_so", "no alike scripts in one word"),
        ("drawn-alike", "(latin and script in _ALIKE) or drawn_so", "latin and script in _ALIKE", "no false ASCII"),
        ("twins-shown", 'return unicodedata.normalize("NFC", char) != char', "return False", "no two look the same"),
    ),
)  # fmt: skip

APPROVALS = (*COUNT, *VOTE, *REDEEM, *STANDING)
