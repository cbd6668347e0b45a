"""Bugs planted in what people may see and do (`pdp/service/approvals`) and in who they are (`pdp/approvals`)."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


CLIENT_ANSWERS = (
    *_in(
        "service/approvals/client_answers",
        (
            "elicited-by-anyone",
            " or not decision.caller.may_assert.client_answers",
            "",
            "a caller may say so, or not",
        ),
        (
            "elicited-is-signed-in",
            'ASSURANCE = "client_asserted"',
            'ASSURANCE = "signed_in"',
            "a client's word is weak",
        ),
        ("elicited-for-any-call", " if each.requirement_id == wanted", "", "an answer is for one requirement"),
        (
            "elicited-both",
            'return "deny" if "deny" in choices else "approve" if',
            'return "approve" if',
            "a no is a no",
        ),
    ),
    *_in(
        "service/approvals/visibility",
        ("elicited-claims", "return () if person.surface == CLIENT else (", "return (", "a client shows no claims"),
    ),
)

PERSONS = _in(
    "service/approvals/persons",
    ("agent-by-chain", "return bool(identity.actors) or agent.kind", "return agent.kind", "an agent is nobody"),
    ("agent-by-kind", ' or agent.kind == "actor"', "", "an agent is nobody"),
    (
        "agent-by-unread-chain",
        "not (agent.check.ok or agent.check.code == _NO_CLIENT)",
        "False",
        "a chain that could not be read is one",
    ),
    (
        "service-votes",
        'if subject.kind != "human" and not',
        'if subject.kind == "x" and not',
        "a service is no person",
    ),
    (
        "any-client-acts",
        "return agent.id in caller.person_clients",
        "return True",
        "an agent's token acts for nobody",
    ),
    ("no-client-acts", 'return identity.subject.source == "vouched"', "return True", "a token names its client"),
    ("unknown-kind-votes", 'subject.kind == "unknown" and listed', 'subject.kind == "unknown"', "humans are known"),
    ("servers-token-votes", "audiences=caller.resources", 'audiences=("*",)', "the token was made for the desk"),
    ("disabled-acts", "if not directory.active(human):", "if False:", "who is disabled acts no more"),
    (
        "any-claimed-group",
        "frozenset(sign_in.groups) & directory.claims.get(sign_in.account.issuer, frozenset())",
        "frozenset(sign_in.groups)",
        "claims count where the directory says so",
    ),
    (
        "claims-of-any-issuer",
        "directory.claims.get(sign_in.account.issuer, frozenset())",
        "directory.claimable",
        "a group may be claimed from one issuer only",
    ),
    ("vouched-is-signed-in", '"vouched": "client_asserted"', '"vouched": "signed_in"', "a caller's word is weak"),
)

LOOKING = _in(
    "service/approvals/visibility",
    (
        "everybody-sees",
        "if self.sees_all or subject in self.accounts:",
        "if True:",
        "I9: not one's to see is not there",
    ),
    ("subject-sees-nothing", " or subject in self.accounts:", ":", "a subject sees its own calls"),
    ("deputy-early", "and delegation.from_ns <= at_ns:", ":", "a deputy stands in from an instant on"),
    (
        "deputy-of-anybody",
        "if delegation.deputy == person.human and",
        "if",
        "a deputy stands in for whom it was named for",
    ),
    ("auditor-for-good", "roles = person.roles & ", "roles = person.roles or ", "who lost a role sees no more"),
    ("disabled-sees", "if not directory.active(person.human) or", "if", "who is disabled sees nothing"),
    ("unswept-is-open", "approval.expires_ns <= at_ns:", "approval.expires_ns < at_ns:", "at equality expiry wins"),
    (
        "list-commits",
        "view(approval, None, votes, self.person, standing)",
        "view(approval, shown, votes, self.person, standing)",
        "only what was shown whole can be approved",
    ),
    (
        "compared-across-rules",
        "if not same_rule(row.requirement, approval.requirement) or not self._may_see(row):",
        "if not self._may_see(row):",
        "a call is compared with one that the same rule wanted approved",
    ),
    (
        "compared-with-what-one-may-not-see",
        "approval.requirement) or not self._may_see(row):",
        "approval.requirement):",
        "I9: no call is shown by way of another one",
    ),
    (
        "compared-with-ones-own-approval",
        "                continue  # linked to the subject since\n",
        "                pass\n",
        "what a subject let through itself is no ground for others",
    ),
    ("list-shows-task", 'task="", task_source="none"', 'task_source="none"', "a list shows no task"),
    ("list-shows-arguments", 'arguments=b"{}", secrets=(), ', "", "a list shows no argument"),
)

VOTING = _in(
    "service/approvals/votes",
    (
        "vote-unseen",
        "approval = visibility.approval(approval_id)",
        "approval = visibility.store.approval(visibility.person.tenant, approval_id)  # type: ignore[assignment]",
        "I9: not one's to see cannot be voted on",
    ),
    ("vote-consents", 'if approval.kind == "consent":', "if False:", "a consent is never a vote"),
    (
        "any-passkey",
        "if self._passkeys is None or not self._passkeys.verify(person, challenge(view), assertion):",
        "if False:",
        "a passkey is verified",
    ),
    (
        "passkey-optional-verifier",
        "self._passkeys is None or not self._passkeys.verify",
        "self._passkeys is not None and not self._passkeys.verify",
        "without a verifier no passkey counts",
    ),
    (
        "passkey-cloned",
        "if signed is None or not fresh(signed.count, self._store.sign_count(person.tenant, signed.passkey_id)):",
        "if signed is None:",
        "a passkey's counter grows",
    ),
    (
        "passkey-uncounted",
        "                *_signature(vote),\n",
        "",
        "a passkey's counter is kept with the vote",
    ),
    (
        "claims-unseen",
        "                *claims_step(person, at_ns),\n",
        "",
        "claims are seen with each vote",
    ),
    ("grant-not-issued", "            (Issue(grant),),", "            (),", "a grant that was told is there"),
)

ATTEMPTS = _in(
    "service/approvals/retry",
    ("attempt-any-content", "if row.content != request_key.content:", "if False:", "an id names one content"),
    ("attempt-of-all", "account.issuer, account.id, request_id)", "request_id)", "an id is the person's own"),
    (
        "no-second-try",
        "        except Conflict:\n            continue",
        "        except ZeroDivisionError:\n            continue",
        "who was overtaken decides again",
    ),
)

CONSENTS = _in(
    "service/approvals/consents",
    (
        "consent-for-others",
        " or approval.call.subject not in visibility.accounts:",
        ":",
        "a consent is the subject's alone",
    ),
    (
        "consent-by-approval-id",
        'approval is None or approval.kind != "consent" or',
        "approval is None or",
        "an approval is no consent",
    ),
    (
        "end-anybodys-consent",
        "        elif consent.subject not in visibility.accounts:\n            raise _unknown()\n",
        "",
        "a subject ends its own",
    ),
    ("consent-for-ever", "        if until > at_ns + self.longest_ns:", "        if False:", "a consent ends"),
    (
        "request-outlives-consent",
        "entries = (self._ended(visibility, consent), *self._unredeemed(visibility, consent))",
        "entries = (self._ended(visibility, consent),)",
        "taken back at once",
    ),
    (
        "consent-does-not-settle",
        "(agreed, *entries, *ended)",
        "(agreed, *ended)",
        "the request is settled with the consent",
    ),
)

OTHERS = (
    *_in(
        "service/approvals/grants",
        ("auditor-ends-grants", 'sees_all="operate" in person.roles', "sees_all=bool(person.roles)", "auditors look"),
        (
            "anybodys-grant",
            "if grant is None or not visibility.sees(grant.subject, grant.requirement):",
            "if grant is None:",
            "I9",
        ),
        ("end-twice", "if not lasts(grant, at):", "if False:", "what has ended has ended"),
    ),
    *_in(
        "service/approvals/delegations",
        (
            "anybody-is-away",
            '            if "operate" not in person.roles:',
            "            if False:",
            "one names one's own deputy",
        ),
        ("deputy-for-ever", "> self._longest_ns:", "> 2 * self._longest_ns:", "a deputy for a time"),
        ("disabled-deputy", "or not deputy.active or", "or", "a deputy is there"),
    ),
    *_in(
        "service/approvals/expiry",
        (
            "switched-off-waits",
            "        if not check.ok:\n            return check.code",
            '        if not check.ok:\n            return ""',
            "a switch ends what waits",
        ),
        (
            "tool-switch-waits",
            "return switches.tool_check(tenant, call.server, call.tool, at_ns).code",
            'return ""',
            "a switch ends what waits",
        ),
        (
            "chain-switch-waits",
            'agents = frozenset({call.agent, *(actor.id for actor in call.actors)} - {""})',
            "agents = frozenset({call.agent})",
            "an agent in the chain is an agent",
        ),
        (
            "left-subject-waits",
            '        if not directory.active(directory.human(call.subject)):\n            return "person.inactive"\n',
            "",
            "who left asks nothing",
        ),
    ),
    *_in(
        "service/approvals/visibility",
        (
            "unrecorded-look",
            '        await self._recorder.commit_event(\n            person.tenant, "read",',
            '        self._recorder.event(\n            person.tenant, "read",',
            "each look is recorded",
        ),
    ),
    *_in(
        "approvals/listed",
        (
            "account-twice",
            "                if account in by_account:",
            "                if False:",
            "an account is one human's",
        ),
        (
            "group-typo",
            "if unknown := [n for n, group in enumerate(human.groups) if group not in parsed.groups]:",
            "if unknown := []:",
            "a group that is none",
        ),
        ("shadow-of-unknown", "or value.startswith(UNLISTED)", "", "nobody is listed as somebody unknown"),
    ),
    *_in(
        "approvals/scim",
        (
            "half-an-export",
            'if whole.get("totalResults") != len(resources):',
            "if False:",
            "an export is whole or none",
        ),
        (
            "active-by-default",
            'active=user.get("active") is True',
            'active=user.get("active") is not False',
            "absence never loosens",
        ),
        ("nested-members", 'if member.get("type", "User") == "User":', "if True:", "a group in a group seats nobody"),
    ),
    *_in(
        "approvals/directory",
        (
            "stale-for-ever",
            "kept = _EMPTY if stale else now.directory",
            "kept = now.directory",
            "a directory that stays away is given up",
        ),
        (
            "claims-without-files",
            "            kept = _EMPTY if stale",
            '            kept = replace(now.directory, claimable=frozenset({"team-red"})) if stale',
            "nobody is known, nobody claims",
        ),
        (
            "in-force-unrecorded",
            "                self._next[tenant] = loaded",
            "                self._next[tenant] = self._loaded[tenant] = loaded",
            "recorded, then in force",
        ),
    ),
)

DECLASSIFYING = (
    *_in(
        "service/approvals/declassify",
        ("declassify-requester-votes", "actors=(person.account,),", "actors=(),", "the requester has no vote"),
        ("declassify-what-came-since", "if row.shown and (", "if (", "what came since stays"),
        ("declassify-under-way", "replace(told, supersedes=True)", "told", "what found the label there begins anew"),
        ("declassify-unobserved", "        if unknown:\n", "        if False:\n", "nobody vouches for the unknown"),
    ),
    *_in(
        "service/approvals/operator_requests",
        ("operators-anybody-asks", "if OPERATE not in person.roles:", "if False:", "only an operator asks"),
        (
            "operators-old-quorum",
            "self.terms is None or self.terms.element() != approval.requirement",
            "False",
            "another quorum voids the request",
        ),
        ("operators-half-filled", " or accepted.event is not Event.FILL", "", "all seats are filled"),
        (
            "operators-ask-twice",
            "if self.store.approvals(replace(",
            "if False and (replace(",
            "one request at a time",
        ),
    ),
    *_in(
        "store/approvals/steps",
        ("remove-another-row", "c.shown == row.shown, ", "", "the row that was read"),
    ),
    *_in(
        "core/sessions",
        (
            "shown-label-is-enough",
            "for row in there if not row.shown}",
            "for row in there}",
            "what puts a label there after it was shown leaves another row",
        ),
    ),
)

PEOPLE = (*DECLASSIFYING, *CLIENT_ANSWERS, *PERSONS, *LOOKING, *VOTING, *ATTEMPTS, *CONSENTS, *OTHERS)
