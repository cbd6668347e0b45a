"""Bugs planted in the store: in steps, which decide every race, and in what holds an entry together."""

from __future__ import annotations

from mutant import Mutant


def _in(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, f"pdp/store/{file}.py", old, new, attacks) for name, old, new, attacks in rows)


STEPS = _in(
    "approvals/steps",
    ("step-after-expiry", "moved.where(c.expires_ns > now) if taken.timely else moved", "moved", "I5"),
    (
        "step-on-another-version",
        "if row is None or row.version != step.version:",
        "if row is None:",
        "I7: a change is of the row that it was decided on",
    ),
    (
        "step-expects-nothing",
        "if (active, _high_water(db, SWITCH_EPOCH)) != (step.policy_digest, step.switch_epoch):",
        "if False:",
        "I4: policy and switches are those of the decision",
    ),
    (
        "refusal-of-one-wording-only",
        "if stands and (replaced or _reworded(",
        "if stands and (replaced and _reworded(",
        "no kinder answer joins a refusal that stands",
    ),
    (
        "refusal-of-every-requirement",
        "named(refused) == named(wanted) != ",
        "named(wanted) != ",
        "of one requirement",
    ),
    ("steps-forget-time", "    if latest > before:", "    if False:", "I5: what expired stays expired"),
    (
        "grant-of-another-version",
        "update(t.grants).where(c.id == grant_id, c.version == version, ",
        "update(t.grants).where(c.id == grant_id, ",
        "I2",
    ),
    ("grant-is-never-used-up", "(c.used + 1 >= c.uses)", "(c.used > c.uses)", "I2"),
    ("consent-after-its-end", "c.version == version, c.ended_ns == 0)", "c.version == version)", "I5"),
    (
        "question-open-twice",
        'if db.execute(open_ones.where(mine, t.approvals.c["index"] == a.index)).scalar_one():',
        "if False:",
        "one open request for one question",
    ),
    ("vote-is-not-kept", "    if step.vote is not None:", "    if False:", "I8"),
    ("outcome-is-overwritten", 'if known not in {None, "unknown"}:', "if False:", "an outcome is noted once"),
    ("older-sight-wins", "if at is None or at <= step.seen.at_ns:", "if True:", "claims are those of the last sight"),
)
ENTRIES = (
    *_in(
        "refusals",
        (
            "counted-until-saved",
            "set()\n            return [(*key, self._beyond.get(key, 0) - told.get(key, 0))",
            "set()\n            return [(*key, self._beyond.pop(key, 0) - told.get(key, 0))",
            "a count stays until its record is durable",
        ),
        (
            "one-tenants-record-tells-all",
            "            for key, count in told.items():\n",
            "            for key, count in (told and self._beyond.copy()).items():\n",
            "a record of one tenant's refusals leaves the others'",
        ),
        (
            "lost-commit-loses-counts",
            "            self._unsaved |= self._saving\n",
            "",
            "counts whose commit failed are stored with the next one",
        ),
    ),
    *_in(
        "shared",
        (
            "stranger-joins",
            "    if known is not None and known != keys.index:\n",
            "    if False:\n",
            "a store has one index key",
        ),
        (
            "first-key-unknown",
            "    _set_meta(db, _INDEX_KEY, keys.index)\n",
            "",
            "a store has one index key",
        ),
    ),
    *_in(
        "rows",
        (
            "session-of-the-last-who-came",
            "OR sessions.owner = excluded.owner AND sessions.state = 'open' AND (",
            "OR sessions.state = 'open' AND (",
            "a session stays whose it was first",
        ),
        (
            "session-is-never-over",
            "WHERE sessions.until_ns < {{now}} OR",
            "WHERE {{now}} < 0 OR",
            "an id that was not used for long is free",
        ),
        (
            "salt-of-the-last-who-came",
            "WHERE calls.salt = excluded.salt",
            "WHERE TRUE",
            "one call has one salt",
        ),
        (
            "reply-of-other-content",
            "WHERE replies.content = excluded.content",
            "WHERE TRUE",
            "a request id is one request's",
        ),
        (
            "mark-goes-back",
            "WHERE high_water.value < excluded.value",
            "WHERE TRUE",
            "a high-water mark never goes back",
        ),
        (
            "young-calls-go",
            "(SELECT seq FROM calls ORDER BY seq LIMIT {limit}) AND created_ns < {before}",
            "(SELECT seq FROM calls ORDER BY seq LIMIT {limit}) AND created_ns <> {before}",
            "what is asked about is kept as long as the options say",
        ),
    ),
    *_in(
        "sqlite/transactions",
        (
            "file-was-replaced",
            "        if self._place() != self._file:\n",
            "        if self._place() is None:\n",
            "nothing is written into a file that lies there no more",
        ),
    ),
    *_in(
        "log",
        (
            "older-copy-is-told",
            "        if self._watch.another == LogWentBack.code:\n",
            "        if False:\n",
            "nothing is told out of a log that is not the one that was written",
        ),
    ),
    *_in(
        "approvals/answers",
        (
            "refused-question-ends-the-service",
            "            if not only_this(e):",
            "            if True:",
            "a question that the database refuses says nothing of the store",
        ),
    ),
    *_in(
        "sqlite/store",
        (
            "log-was-replaced",
            "            elif not is_there(db, known):\n",
            "            elif False:\n",
            "another log is noticed",
        ),
    ),
    *_in(
        "approvals/answers",
        (
            "turned-down-by-any-tool",
            "c.call_tool == call.tool, c.resolved_ns",
            "c.resolved_ns",
            "like calls have the tool in common",
        ),
    ),
    *_in(
        "erasing",
        ("said-stays", 'said.values(reason="", grant=b"")', "said.values(grant=b'')", "erasure is whole"),
    ),
    *_in(
        "erasing",
        ("grant-keeps-bounds", "_NOTHING, version=c.version + 1", "_NOTHING", "erasure is decided on"),
    ),
    *_in(
        "writer",
        ("fault-leaves-rows", "undo=isinstance(result, Fault)", "undo=False", "an entry is whole or not there"),
        ("lone-commit-waits", "and self._met >= MET and", "and", "a lone caller waits for no company"),
        ("commits-travel-alone", "loop.call_soon(self._wake)", "self._wake()", "what comes together is one batch"),
    ),
    *_in(
        "ledger",
        (
            "fault-leaves-a-gap",
            "            self._next, self._wrote",
            "            _, self._wrote",
            "indexes are dense",
        ),
    ),
)
_WAITS = "what waits, or is in force, is kept"
FORGETTING = _in(
    "erasing",
    ("undelivered-goes", "select(c.id).where(c.done_ns > 0)", "select(c.id)", _WAITS),
    ("verdict-in-force-goes", "oldest.where(c.expires_ns < before_ns)", "oldest", _WAITS),
    ("waiting-request-loses-its-text", "resolved_ns.between(1,", "resolved_ns.between(0,", _WAITS),
    (
        "reasons-stay",
        'in_(gone)).values(reason="", grant=b"")',
        "in_(gone)).values(grant=b'')",
        "what is forgotten is forgotten whole",
    ),
)
_WHOLE = "a batch in one statement is whole, or an ordinary transaction finds out why not"
POSTGRES = (
    *_in(
        "postgres/plain",
        ("batch-with-a-taken-salt", "(SELECT count(*) FROM new_calls) = cardinality($14::text[])", "TRUE", _WHOLE),
        (
            "batch-with-a-reused-id",
            "(SELECT count(*) FROM new_replies) = cardinality($20::text[])",
            "TRUE",
            _WHOLE,
        ),
        (
            "batch-with-a-foreign-session",
            "(SELECT count(*) FROM new_sessions) = cardinality($28::text[])",
            "TRUE",
            _WHOLE,
        ),
        (
            "batch-on-another-log",
            "($41 < 0 OR (SELECT leaf FROM records WHERE idx = $41) = $42::bytea)",
            "($41 < 0 OR $42::bytea IS NOT NULL)",
            "nothing is written behind another log",
        ),
        (
            "batch-by-old-switches",
            "WHERE changes = $40 AND size > $41",
            "WHERE changes >= $40 AND size > $41",
            "a commit sees the switches of other processes",
        ),
        (
            "batch-prunes-young-calls",
            'OLD["calls"].format(limit="$44", before="$46")',
            'OLD["calls"].format(limit="$44", before="greatest($45, $46)")',
            "what is asked about is kept as long as the options say",
        ),
        (
            "batch-mixes-up-values",
            "16 * first + seq, path",
            "16 * (first + 1) + seq, path",
            "values are found by their record",
        ),
        (
            "two-owners-of-a-batch",
            "if (joined := row if first is None else together(first, row)) is None:",
            "if (joined := row) is None:",
            "a session stays whose it was first",
        ),
    ),
    *_in(
        "postgres/call",
        (
            "delegations-that-are-over",
            "AND ended_ns = 0 AND until_ns > $3",
            "AND ended_ns = 0 AND until_ns > $3 - 9000000000000000000",
            "I8",
        ),
        (
            "oldest-requests-first",
            "call_digest = $2 ORDER BY id DESC LIMIT",
            "call_digest = $2 ORDER BY id LIMIT",
            "of many requests about a call the newest count",
        ),
    ),
    *_in(
        "postgres/transactions",
        (
            "lock-is-the-database's-end",
            "return state(error) == LOCK_NOT_AVAILABLE",
            "return False",
            "a locked table holds up only what needs it",
        ),
    ),
    *_in(
        "calls",
        (
            "turned-down-for-good",
            "AND call_tool = $10 AND resolved_ns >= $5",
            "AND call_tool = $10 AND resolved_ns >= $5 - 9000000000000000000",
            "I5",
        ),
        (
            "canaries-turn-down",
            "'revoked') AND canary = 0",
            "'revoked') AND canary <> 2",
            "canaries are nobody's call",
        ),
        (
            "any-judge-refusals",
            "AND asker = $11 AND created_ns",
            "AND asker <> $2 AND created_ns",
            "refusals count for who asked",
        ),
    ),
)
PSEUDONYMS = (
    *_in(
        "erasing",
        (
            "erased-people-keep-their-names",
            'forgotten.values(subject="", kind="", issuer="", id="")',
            'forgotten.values(subject="")',
            "an erased person is nobody",
        ),
    ),
    *_in("ledger", ("erasures-untold", "        self._rows.erased()\n", "", "every process forgets whom it knew")),
    Mutant(
        "pseudonym-by-index",
        "pdp/service/pseudonyms.py",
        "self._entropy.bytes(RANDOM_BYTES).hex()",
        "self._index(key)[:32]",
        "nothing can be computed from a pseudonym",
    ),
    Mutant(
        "pseudonym-of-one-who-was-erased-meanwhile",
        "pdp/service/pseudonyms.py",
        "            return  # what was read may be erased",
        "            pass",
        "an erasure during a read counts",
    ),
    Mutant(
        "pseudonym-that-nobody-looks-for",
        "pdp/service/pseudonyms.py",
        "if len(missing) > PEOPLE_AT_ONCE:",
        "if False:",
        "everybody of a chain of actors keeps a pseudonym",
    ),
    Mutant(
        "any-pseudonym-of-several",
        "pdp/store/calls.py",
        "(SELECT min(pseudonym) FROM people",
        "(SELECT max(pseudonym) FROM people",
        "processes agree on the pseudonym of somebody who has several",
    ),
    Mutant(
        "record-names-its-subject",
        "pdp/core/record.py",
        '"id": None if shown.id is None else stamp.person("account", shown.issuer or "", shown.id),',
        '"id": shown.id,',
        "a record names nobody",
    ),
)
SIGNED = (
    Mutant(
        "inclusion-in-any-tree",
        "pdp/core/merkle.py",
        "    return not last and found == expected",
        "    return found == found",
        "a receipt proves its record",
    ),
    Mutant(
        "consistent-with-anything",
        "pdp/core/merkle.py",
        "    return not last and before == old and after == new",
        "    return not last and after == new",
        "a later tree extends the earlier one",
    ),
    Mutant(
        "any-signature-will-do",
        "pdp/audit/note.py",
        "        good = good or key.name == found.origin\n    if not good:",
        "        good = good or key.name == found.origin\n    if False:",
        "a checkpoint is signed by the log's key",
    ),
    Mutant(
        "signs-over-another-log",
        "pdp/audit/publisher.py",
        "            if await self._root_of_store(before.size) != before.root:",
        "            if not before.root:",
        "nothing is signed that the last checkpoint is no prefix of",
    ),
    Mutant(
        "resumes-over-other-records",
        "pdp/audit/tiles.py",
        "            if size and self.read(tile_path(0, start // WIDTH, size - start)) != ",
        "            if False and self.read(tile_path(0, start // WIDTH, size - start)) != ",
        "a store that went back and grew again is found out",
    ),
    *(
        Mutant(name, f"pdp/audit/{file}.py", old, new, attacks)
        for name, file, old, new, attacks in (
            (
                "witness-signs-whatever-is-old",
                "witness",
                "        if asked.old != before.size:",
                "        if False:",
                "a witness never goes back",
            ),
            (
                "witness-signs-a-fork",
                "witness",
                "        if not _extends(before, new, asked.proof):",
                "        if False:",
                "what is cosigned extends what was cosigned",
            ),
            (
                "witness-forgets-with-its-process",
                "witness",
                "                replace_file(self.file(new.origin), new.text().encode(), sync=True)",
                "                pass",
                "a restart does not forget",
            ),
            (
                "cosignature-unsynced",
                "witness",
                "new.text().encode(), sync=True)",
                "new.text().encode(), sync=False)",
                "on the disk before it is cosigned",
            ),
            (
                "any-cosignature-will-do",
                "cosignature",
                '            raise NoteFault("log.signature", f"the cosignature of {name} is wrong") from None',
                "            pass",
                "a wrong cosignature of a known witness is found",
            ),
            (
                "quorum-of-any",
                "cosignature",
                "            if sum(member in good for member in members) >= least:",
                "            if any(member in good for member in members):",
                "a group needs as many as it says",
            ),
            (
                "stale-cosignatures-count",
                "cosignature",
                "by.get(each.key.text(), -1) >= since",
                "by.get(each.key.text(), -1) >= 0",
                "old cosignatures do not count",
            ),
            (
                "witnesses-are-not-believed",
                "publisher",
                "            await self._compare(await self._cosigners.sizes(empty))",
                "            await self._cosigners.sizes(empty)",
                "store and folder both put back",
            ),
            (
                "witnesses-of-other-records-are-not-believed",
                "publisher",
                "        if differ:",
                "        if False:",
                "other records were cosigned",
            ),
            (
                "witness-stops-whom-it-agreed-with",
                "cosigners",
                "        each.agreed = each.agreed or new.size > 0",
                "        each.agreed = False",
                "a witness gone wrong stops no process that runs",
            ),
        )
    ),
    *(
        Mutant(f"export-{name}", "pdp/audit/export.py", old, new, attacks)
        for name, old, new, attacks in (
            ("approved-is-allowed", "8 if agreed else 1", "1", "what people agreed to stands apart"),
            ("formula", "if cell.startswith(_FORMULA) else cell", "if not cell else cell", "no cell is a formula"),
            ("observed-is-allowed", "        return 3, 17  # Observed, Logged", "        pass", "what bound nobody"),
            ("opa-has-other-kinds", 'not in ("decision", "list"):', "not in FORMATS:", "only answers are decisions"),
        )
    ),
    Mutant(
        "export-of-every-tenant",
        "pdp/cli/audit_export.py",
        'if tenant is not None and record["tenant"] not in ("", tenant):',
        "if tenant is not None and False:",
        "an export for a tenant holds no other's records",
    ),
    Mutant(
        "clock-record-at-each-look",
        "pdp/runtime/background.py",
        "            recorded = anomaly\n",
        "            pass\n",
        "one record for each change",
    ),
    Mutant(
        "clock-record-without-end",
        "pdp/runtime/background.py",
        "        if anomaly != recorded:",
        "        if anomaly and anomaly != recorded:",
        "the end of an anomaly is a record",
    ),
    Mutant(
        "one-key-signs-two-logs",
        "pdp/runtime/rollback.py",
        "        _another_key(wired.publisher, store)\n",
        "",
        "the key of lost records signs no others",
    ),
    Mutant(
        "starts-on-an-older-store",
        "pdp/runtime/bootstrap.py",
        "            await signed.publisher.check()  # before anything is recorded\n",
        "            pass\n",
        "a restored backup does not start",
    ),
    Mutant(
        "record-hands-over",
        "pdp/audit/receipt.py",
        "        if not said.startswith(NEXT_KEY):\n",
        "        said = said or NEXT_KEY + json.loads(record)['verifier']\n        if not said:\n",
        "the line that the key signed hands over, no record",
    ),
    Mutant(
        "handover-is-no-mark",
        "pdp/audit/verification.py",
        "        marks += [head for _, head in fresh]\n",
        "",
        "a log extends the checkpoint of a handover",
    ),
    Mutant(
        "broken-files-are-forgotten",
        "pdp/runtime/renewal.py",
        "                raise self._fault\n",
        "                pass\n",
        "what cannot be used is said until it is mended",
    ),
    Mutant(
        "former-signers-stay-good",
        "pdp/runtime/renewal.py",
        "            verifier.take_keys(found)\n",
        "            pass\n",
        "a set of a former key is refused",
    ),
    Mutant(
        "cut-tails-pass",
        "pdp/audit/verification.py",
        "        if self._open:\n",
        "        if False:\n",
        "a cut tail under a later checkpoint is found",
    ),
    Mutant(
        "log-files-by-any-name",
        "pdp/adapters/log_files.py",
        '        if call.headers.get("host") not in (',
        '        if False and call.headers.get("host") not in (',
        "a page of another name reads no records",
    ),
    Mutant(
        "proofs-for-any-tenant",
        "pdp/service/records.py",
        '        await self._find(caller, "", index)\n',
        "",
        "another tenant's records do not exist",
    ),
)
SEARCH = tuple(
    Mutant(name, f"pdp/{file}.py", old, new, attacks)
    for name, file, old, new, attacks in (
        (
            "search-of-any-tenant",
            "service/search",
            'wanted["tenant"] = frozenset({caller.tenant, OF_NONE})',
            "pass",
            "another tenant's records do not exist, whatever the index says",
        ),
        (
            "search-of-what-the-index-says",
            "service/search",
            " if query.matches(m.fields, m.stored.record)]",
            "]",
            "the record decides",
        ),
        (
            "reading-unrecorded",
            "service/records",
            'note(reader or Reader(caller.name), "SearchRecords", tenants, fields, people)',
            'note(reader or Reader(caller.name), "SearchRecords", {}, fields, people)',
            "audit the auditors",
        ),
        (
            "reading-recorded-each",
            "service/search",
            "                self._windows[tenant, reader] = _Window(at)\n",
            "",
            "who follows the log makes no record for each record",
        ),
        (
            "search-behind-the-log",
            "audit/index",
            "        if self.size < size:\n",
            "        if False:\n",
            "a list that lacks records says so",
        ),
        (
            "index-of-another-log",
            "audit/index",
            "            if known != about:\n",
            "            if not known:\n",
            "an index is of this log and key",
        ),
        (
            "index-of-a-log-that-went-back",
            "audit/index",
            "            if rows and rows[0][0] == leaf:\n",
            "            if rows:\n",
            "what it covers is what the log holds",
        ),
        (
            "index-unkeyed",
            "audit/index",
            ", key=self._key, digest_size=8",
            ", digest_size=8",
            "the file tells nothing",
        ),
        (
            "search-of-the-first-page",
            "audit/index",
            "                    return tuple(found), found[-1]\n",
            "                    return tuple(found), 0\n",
            "pages go on",
        ),
    )
)
ERASING = tuple(
    Mutant(name, f"pdp/{file}.py", old, new, attacks)
    for name, file, old, new, attacks in (
        (
            "erasure-leaves-names",
            "store/log",
            "self._erase(person.tenant, person.subject) + self._unname(person) for",
            "self._erase(person.tenant, person.subject) for",
            "nothing names an erased person",
        ),
        (
            "erasure-leaves-voters",
            "store/erasing",
            "        .values(account_id=who),\n",
            "        .values(account_id=v.account_id),\n",
            "nothing names an erased person",
        ),
        (
            "erasure-leaves-actors",
            "store/erasing",
            "hidden if actor == known else actor",
            "actor",
            "nothing names an erased person",
        ),
        (
            "erasure-of-any-tenant",
            "service/operations/erasure",
            "tenant = self.clock.now_ns(), None if caller.tenant == ANY_TENANT else caller.tenant",
            "tenant = self.clock.now_ns(), None",
            "an operator acts on its own tenant",
        ),
        (
            "erasure-of-whom-a-switch-stops",
            "service/operations/erasure",
            "if of_it and not ended(",
            "if False and not ended(",
            "that somebody is stopped is not forgotten",
        ),
        (
            "erasure-kept-by-its-reason",
            "service/operations/erasure",
            "if who.id.casefold() in reason.casefold():",
            "if False:",
            "nothing names an erased person",
        ),
    )
)
ARCHIVING = tuple(
    Mutant(name, f"pdp/{file}.py", old, new, attacks)
    for name, file, old, new, attacks in (
        (
            "archive-not-looked-at-again",
            "service/archiving",
            "        if not await asyncio.to_thread(folder.has, number, [leaf for leaf, _ in rows]):\n",
            "        if False:\n",
            "a record leaves the store only after the archive has it",
        ),
        (
            "archive-before-a-receiver",
            "service/archiving",
            "min(needed, size - STAYING, *passed)",
            "min(needed, size - STAYING)",
            "what a receiver has not got stays",
        ),
        (
            "archive-what-is-needed",
            "store/log",
            ", self._one(first.where(r.id.in_(live))))\n",
            ",)\n",
            "what people are asked about stays",
        ),
        (
            "archive-any-bytes",
            "audit/archive",
            '        return found if leaf_hash(found) == leaf else b""\n',
            "        return found\n",
            "an archive that was changed shows nothing",
        ),
        (
            "archive-half-a-bundle",
            "audit/tiles",
            "                if all(self._records):\n                    self._write",
            "                if True:\n                    self._write",
            "no bundle is written of records that are not there",
        ),
        (
            "archive-signs-what-is-empty",
            "audit/publisher",
            "                if index >= archived:",
            "                if False:",
            "what somebody emptied is not signed",
        ),
        (
            "archive-left-out",
            "service/search",
            "        if len(rows) < len(found) and self._store.archived():\n",
            "        if False:\n",
            "a list that lacks records is not shown",
        ),
        (
            "archive-skipped",
            "store/reading",
            " OR length(bytes) = 0) AS hit",
            ") AS hit",
            "what was asked for long ago is not left out in silence",
        ),
        (
            "archive-serves-anything",
            "adapters/log_files",
            '        for folder in self._folders if path.startswith("tile/entries/") else self._folders[:1]:\n',
            "        for folder in self._folders:\n",
            "of an archive bundles are served, and nothing else",
        ),
        (
            "archive-triggers",
            "store/migrations/versions/r0016_archived",
            "    OR OLD.idx >= coalesce((SELECT value FROM high_water WHERE name = 'archived'), 0)\n",
            "",
            "the database holds the rule",
        ),
    )
)
QUORUM = tuple(
    Mutant(name, "pdp/service/operations/quorum.py", old, new, attacks)
    for name, old, new, attacks in (
        (
            "quorum-back-for-nothing",
            '        if self._recorded_missing():\n            await self._record("back"',
            '        if True:\n            await self._record("back"',
            "nothing is back that was not missing",
        ),
        (
            "quorum-missing-at-once",
            "now - since_ns > self.allowed_ns and not",
            "not",
            "a cosignature counts for a while",
        ),
        (
            "quorum-counts-anew",
            "        if not since_ns:\n",
            "        if not since_ns or self._noted_ns is None:\n",
            "no restart begins to count anew",
        ),
        (
            "quorum-of-a-machine",
            "state.missing_ns if self._noted_ns is None else now",
            "state.missing_ns",
            "the log is cosigned while one machine's is",
        ),
        (
            "quorum-kept",
            '            await self.store.put_in_force({_SINCE: ""})\n',
            "            pass\n",
            "the next time counts from its own beginning",
        ),
    )
) + _in(
    "approvals/steps",
    (
        "mark-of-two",
        "    if _high_water(db, step.name) != step.before:",
        "    if False:",
        "of two machines one says it",
    ),
)
REKEYING = (
    *_in(
        "shared",
        (
            "key-of-a-stranger",
            "dict(keys.before).get(known)",
            "(keys.before or ((known, ()),))[0][1]",
            "no key but the store's",
        ),
        (
            "key-that-nobody-knows",
            "    if known is None and keys.before and last_record(db) is not None:",
            "    if False:",
            "no rows are left under a key of before",
        ),
        (
            "key-while-others-run",
            "    if not alone:\n",
            "    if False:\n",
            "no store of two keys",
        ),
        (
            "key-not-counted",
            "    count = rekey(db, later)\n",
            "    return rekey(db, later)\n",
            "no process goes on with a former key",
        ),
    ),
    *_in(
        "ledger",
        (
            "key-of-a-lost-process",
            "        if self._rekeyed(self._rows.marks() if changed else self.marks):",
            "        if False:",
            "no process goes on with a former key",
        ),
        (
            "key-in-one-round-trip",
            "        if self._rekeyed(self.marks):\n            return None\n",
            "",
            "no process goes on with a former key",
        ),
    ),
    *_in(
        "rekeying",
        (
            "rekeyed-while-read",
            "list(found) if moves else found",
            "found",
            "each index is put under the new key once",
        ),
        (
            "rekeyed-without-atoms",
            "rekeyed_atom(kept, secrets) if isinstance(kept, int)",
            "kept if isinstance(kept, int)",
            "atoms are found again",
        ),
        ("rekeyed-by-one", "else rekeyed(kept, secrets)", "else rekeyed(kept, secrets[:1])", "a chain of several"),
    ),
    *(
        Mutant(name, f"pdp/{file}.py", old, new, attacks)
        for name, file, old, new, attacks in (
            (
                "session-of-the-newest-key",
                "core/sessions",
                'every_index(key, "session", tenant, caller, session)',
                'every_index(key, "session", tenant, caller, session)[-1:]',
                "a record has the index of its time",
            ),
            (
                "task-of-a-chain",
                "sessions/stored",
                "session_index(first_secret(self._key), caller, ask.id)",
                "session_index(self._key, caller, ask.id)",
                "a session keeps its task",
            ),
            (
                "budget-of-a-chain",
                "service/budgets",
                "session_index(first_secret(index_key), ",
                "session_index(index_key, ",
                "no key gives a budget back",
            ),
            (
                "redemption-of-a-chain",
                "service/facts",
                "indexes[0]",
                "indexes[-1]",
                "a redemption is found again",
            ),
        )
    ),
)
FIRSTS = (
    *_in(
        "firsts",
        (
            "firsts-without-bound",
            "if row.name != FULL and db.execute(",
            "if row.name == FULL and db.execute(",
            "a flood of names has so many places",
        ),
        (
            "firsts-known-is-new",
            "        return replace(row, index=known)",
            "        return row",
            "what another process told is not told again",
        ),
    ),
    Mutant(
        "firsts-refused-teaches",
        "pdp/core/first_seen.py",
        '        if None not in name and (let_through if holds else sort != "agent"):',
        '        if None not in name and (holds or sort != "agent"):',
        "a refused call makes nothing known",
    ),
    Mutant(
        "firsts-refused-reaches",
        "pdp/audit/first_seen.py",
        "if document is not None and carried_out(record):",
        "if document is not None:",
        "a host that was refused is still new",
    ),
    Mutant(
        "firsts-made-up-takes-places",
        "pdp/audit/first_seen.py",
        'sort = each.sort if each.check == OK else f"refused {each.sort}"',
        "sort = each.sort",
        "names that are made up take no place of others",
    ),
    Mutant(
        "firsts-history-is-told",
        "pdp/audit/first_seen.py",
        "if index < (self._told_from or 0) or not (first or full):",
        "if not (first or full):",
        "what the log held before is learnt in silence",
    ),
)

STORE = (
    *FIRSTS,
    *REKEYING,
    *ARCHIVING,
    *QUORUM,
    *STEPS,
    *ENTRIES,
    *FORGETTING,
    *POSTGRES,
    *PSEUDONYMS,
    *SIGNED,
    *SEARCH,
    *ERASING,
)
