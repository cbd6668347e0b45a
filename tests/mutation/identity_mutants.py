"""Bugs planted in who calls and what is called: certificates and tokens, sessions, signed sets."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


CREDENTIALS = (
    *_in(
        "adapters/grpc/servicer",
        (
            "san-with-controls",
            "if not text.isascii() or not text.isprintable():",
            "if not text.isascii():",
            "a certificate with a control character in a name names nobody",
        ),
        (
            "unreadable-certificate-is-none",
            'Peer("mtls", (), unreadable=True)',
            'Peer("mtls", ())',
            "a certificate that could be read in two ways is refused, not passed over",
        ),
    ),
    *_in(
        "identity/sources",
        (
            "keys-of-anybody",
            "if problem := writable_by_others(status):",
            'if problem := "":',
            "whoever may write an issuer's keys makes its tokens",
        ),
    ),
    *_in(
        "identity/claims",
        (
            "empty-binding",
            'if "cnf" not in claims:',
            'if not claims.get("cnf"):',
            "a token that is bound in whatever way is no bearer token",
        ),
    ),
    *_in(
        "identity/verifier",
        (
            "bound-token-of-bearer",
            "if unbound := read.unbound(claims):",
            "if unbound := None:",
            "a bound token without its proof is refused",
        ),
        (
            "remembered-whatever-the-keys",
            "if remembered is not None and remembered.ring is ring:",
            "if remembered is not None:",
            "a token that was seen is verified anew by keys that were read anew",
        ),
        (
            "remembered-past-its-end",
            "refused = verified.times.refusal(at_ns, issuer.skew_seconds * NS)",
            "refused = None",
            "the times of a token that was seen are looked at on every call",
        ),
    ),
    *_in(
        "identity/principals",
        (
            "bound-claims-vouched",
            "refused = read.unbound(claims) or self._deny_list",
            "refused = self._deny_list",
            "claims that are passed on with their binding were not proved",
        ),
    ),
)

SESSIONS = _in(
    "sessions/stored",
    (
        "handle-for-every-subject",
        "    return canonical([caller.tenant, identity.subject.issuer, identity.subject.id])",
        "    return canonical([caller.tenant])",
        "a handle works for no other subject",
    ),
    (
        "handle-in-every-tenant",
        "    return canonical([caller.tenant, identity",
        "    return canonical([identity",
        "a handle works in no other tenant",
    ),
    (
        "garbled-parent-is-none",
        "garbled = bool(ask.parent) and not keys.parent",
        "garbled = False",
        "a handle that does not verify reads like an unknown session",
    ),
    (
        "child-changes-its-task",
        'if going is not None and keys.parent not in ("", going.parent):',
        "if False:",
        "a session cannot leave its task for another one",
    ),
    (
        "child-outlives-its-task",
        "(first and not _open(",
        "(False and not _open(",
        "a child ends with the first session of its task",
    ),
    (
        "child-of-whoever-came-later",
        '(row.index, row.parent, row.tree) == (first, "", tree)',
        '(row.index, row.parent) == (first, "")',
        "a child shares no labels with whoever uses its parent's id later",
    ),
    (
        "handle-of-another-caller",
        "if found is None or found.caller != caller.name:",
        "if found is None:",
        "a handle names a session to its own caller",
    ),
    (
        "session-of-whoever-comes",
        "        if known is not None and known.owner != row.owner:\n",
        "        if False:\n",
        "somebody else's session reads like an unknown one",
    ),
    (
        "ended-session-goes-on",
        'if known is not None and known.state != "open":',
        'if known is not None and known.state == "":',
        "what has ended is refused",
    ),
    (
        "task-of-whoever-came-last",
        "going.task and row.task and going.task != row.task",
        "going.task and row.task and False",
        "a changed task needs a new session",
    ),
    (
        "context-reset-by-anybody",
        "reset = ask.context_reset and caller.may_assert.context_reset",
        "reset = ask.context_reset",
        "only a caller that may says that the context is empty",
    ),
    (
        "labels-complete-uninspected",
        "bool(ask.id) and caller.inspects_results and observed(rows, awaited)",
        "bool(ask.id) and observed(rows, awaited)",
        "who has no results inspected stays at the worst",
    ),
    (
        "any-caller-completes-the-labels",
        "complete = bool(ask.id) and caller.inspects_results and observed(rows, awaited)",
        "complete = bool(ask.id) and caller.inspects_results and not awaited",
        "what another caller let through uninspected stays unknown",
    ),
) + _in(
    "core/sessions",
    (
        "standing-answers-widen",
        "    return bool(session.tree) and session.tree != keys.pair",
        "    return False",
        "no consent or grant counts in a session that another agent's started",
    ),
    (
        "tasks-labels-said-to-be-the-agents",
        'on.get(row.pair, "task")',
        'on.get(row.pair, "agent")',
        "a record says on what a label was put",
    ),
    (
        "shared-labels-left-behind",
        "    if not narrowed(session, keys):",
        "    if True:",
        "what a task has read stays with those who took part in it",
    ),
)

ON_REDIS = (
    *_in(
        "sessions/stored",
        (
            "away-is-nothing",
            "(stored.away and _verified(identity)",
            "(False and _verified(identity)",
            "what cannot be known of a session denies what needs it",
        ),
    ),
    *_in(
        "core/sessions",
        (
            "elsewhere-is-observed",
            "row.label not in (UNOBSERVED, ELSEWHERE)",
            "row.label not in (UNOBSERVED,)",
            "results that are awaited where nobody can look may have been anything",
        ),
    ),
    *_in(
        "sessions/on_redis",
        (
            "lost-mark-is-known",
            'row.decision_id == known.get(row.pair, ("", 0))[0]',
            "True",
            "data that was lost leaves the worst labels",
        ),
        (
            "former-key-left-on-redis",
            "            await self._take_over()",
            "            pass",
            "another index key loses no session that has ended",
        ),
        (
            "former-row-as-it-was",
            'step["row"] = {n: rekeyed',
            'step["row"] and {n: rekeyed',
            "whose a session is is known under another index key",
        ),
        (
            "away-on-redis-is-nothing",
            "session=None, parent=None, away=True)",
            "session=None, parent=None, away=False)",
            "Redis away is no empty Redis",
        ),
        (
            "mark-untold",
            "            if mark:\n                labels[n]",
            "            if False:\n                labels[n]",
            "the store knows that results are awaited on Redis",
        ),
        (
            "evicting-is-well",
            'memory.get("maxmemory_policy") != "noeviction"',
            'memory.get("maxmemory_policy") == ""',
            "a server that throws keys away is not used",
        ),
    ),
    *_in(
        "sessions/redis_scripts",
        (
            "old-data-is-believed",
            "if not id or tonumber(seq) < tonumber(ARGV[1]) then",
            "if not id then",
            "a server that knows fewer steps than were seen has lost data",
        ),
        (
            "old-row-over-a-younger",
            "  if redis.call('EXISTS', each.to) == 1 then",
            "  if false then",
            "what was begun under the new key stays",
        ),
        (
            "ended-on-redis-goes-on",
            "s.owner == e.owner and s.state == 'open' and (s.over_ns",
            "s.owner == e.owner and (s.over_ns",
            "what has ended refuses what was decided before",
        ),
    ),
)

SETS = (
    *_in(
        "registry/marks",
        (
            "older-set-allows",
            "if serial < self.serial:",
            "if serial < self.serial - 1:",
            "below the store's mark nothing is allowed",
        ),
        (
            "other-set-of-that-serial",
            "return _REUSED if serial == self.serial and",
            "return _REUSED if False and",
            "one serial stands for one content",
        ),
    ),
    *_in(
        "registry/release",
        (
            "released-anywhere",
            "if release.name != self._options.name:",
            "if not release.name:",
            "a release for another installation is none",
        ),
        (
            "release-for-ever",
            "        if at_ns >= release.expires_ns:",
            "        if at_ns < release.issued_ns - SKEW_NS:",
            "an expired release is refused",
        ),
        (
            "older-release",
            "if release.serial < newest:",
            "if release.serial < newest - 1:",
            "an older release is refused, restarts included",
        ),
        (
            "other-release-of-that-serial",
            "        if same:\n            return OK",
            "        if serial:\n            return OK",
            "a serial names one release",
        ),
        (
            "older-part-in-silence",
            "elif known := self._high_water(_known(part, sha256)):",
            "elif (known := self._high_water(_known(part, sha256))) > newest:",
            "parts of an older release come back only on purpose",
        ),
        (
            "rollback-to-anything",
            "if self._high_water(_named(back, part)) != fingerprint(sha256):",
            "if self._high_water(_named(back, part)) == 0:",
            "a rollback brings nothing but what that release named",
        ),
        (
            "expired-admits-news",
            "and (not ended or self._in_use.get(part) == sha256):",
            "and (not ended or part):",
            "what has expired admits nothing new",
        ),
        (
            "former-keys-admit-news",
            "expires_ns or not self._vouched",
            "expires_ns",
            "what none but former keys have signed admits nothing new",
        ),
        (
            "unread-admits-all",
            'return _refused("release.missing", "No release is in force yet.") if self._problem.ok else',
            "return OK if signed is None else",
            "without a release nothing is admitted",
        ),
    ),
    *_in(
        "policy/source",
        (
            "unreleased-bundle",
            "        await self._released(bundle)  # before anything of it is parsed\n",
            "",
            "policy that was not released does not become active",
        ),
    ),
    *_in(
        "judge/prompts",
        (
            "unreleased-prompts",
            '            return (f"{check.code}: {check.message}",)\n',
            "            pass\n",
            "prompts that were not released are not used",
        ),
    ),
    *_in(
        "approvals/directory",
        (
            "unreleased-directory",
            "            self._released(tenant, sha256)\n            return _Loaded(",
            "            return _Loaded(",
            "a directory that was not released has nobody in it",
        ),
    ),
    *_in(
        "registry/view",
        (
            "behind-is-no-matter",
            "    if not snapshot.behind.ok:\n",
            "    if False:\n",
            "a member with an older set denies",
        ),
        (
            "older-waivers-hold",
            "waivers=None, waivers_problem=old.code)",
            "waivers_problem=old.code)",
            "waivers that were withdrawn waive nothing",
        ),
    ),
)

SIGNALS = tuple(
    Mutant(name, f"pdp/{file}.py", old, new, attacks)
    for name, file, old, new, attacks in (
        (
            "signal-unsigned",
            "identity/security_events",
            '    return None if holds else _refusal("signature")',
            "    return None",
            "only the transmitter revokes",
        ),
        (
            "signal-of-any-type",
            "identity/security_events",
            "parse(token, _TYPES)",
            'parse(token, _TYPES | {"at+jwt", "JWT", "jwt"})',
            "no access token is an event",
        ),
        (
            "signal-with-any-header",
            "identity/security_events",
            "        if expected and not hmac.compare_digest(",
            "        if False and not hmac.compare_digest(",
            "the stream's header must match",
        ),
        (
            "signal-for-others",
            "core/security_events",
            "    if stream.audience not in (audiences if isinstance(audiences, list) else [audiences]):",
            "    if not audiences:",
            "an event for another receiver is none of ours",
        ),
        (
            "signal-of-last-week",
            "core/security_events",
            "    if issued_ns < now_ns - stream.max_age_ns:",
            "    if False:",
            "an event is not replayed later",
        ),
        (
            "signal-of-foreign-issuers",
            "core/security_events",
            "    if issuer not in stream.issuers:",
            "    if not issuer:",
            "a transmitter speaks for its own issuers",
        ),
        (
            "signal-id-reused",
            "service/security_events",
            "        if kept is not None and kept.content != content:",
            "        if False:",
            "an id is for one event",
        ),
        (
            "signal-leaves-requests",
            "service/security_events",
            "            await self.sweep.revoked(",
            "            if False: await self.sweep.revoked(",
            "requests and grants end with the tokens",
        ),
        (
            "allow-over-a-revocation",
            "store/ledger",
            "        if entry.epoch is not None and entry.epoch != self._epoch():",
            "        if False:",
            "no allow is committed after an event or a switch",
        ),
    )
)

IDENTITY = (*CREDENTIALS, *SESSIONS, *ON_REDIS, *SETS, *SIGNALS)
