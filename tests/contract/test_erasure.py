"""An erasure on both stores: everything that names a person goes, nobody else's does, and every proof stays."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support import c2sp, dictionary
from support.postgres import Postgres
from support.stored import (
    AT,
    Entropy,
    a_consent,
    a_grant,
    a_switch,
    a_vote,
    an_approval,
    an_id,
    entry,
    shown_of,
)

from pdp.core.approvals.rows import Account, Delegation, LastClaims
from pdp.core.approvals.states import Event
from pdp.core.approvals.steps import Insert, Move, Open, See, Step
from pdp.core.bytes.digest import canonical, commitment, keyed_index
from pdp.core.call.request import Caller, Role
from pdp.core.errors import InvalidRequest
from pdp.core.record.encoding import Stamp, encode
from pdp.core.record.stored import CallRow, SwitchRow, ValueRow
from pdp.decide.commit import Recorder
from pdp.operate.erasure import Erasures
from pdp.proof.index import SearchIndex
from pdp.proof.publisher import Publisher
from pdp.proof.search import Search, SearchAsk
from pdp.proof.tiles import LogFolder
from pdp.store.clock import StoreClock
from pdp.store.opening import AnyStore

KEY = b"k" * 32
ISSUER = "https://id.example"
VICTIM, OTHER = "mara.7731@corp.example", "otto.8842@corp.example"
MARA, OTTO = Account(ISSUER, VICTIM), Account(ISSUER, OTHER)
OPERATOR = Caller("ops", "acme", frozenset({Role.OPERATE}), frozenset())
AUDITOR = Caller("auditor", "acme", frozenset({Role.AUDIT}), frozenset())
_seeds = itertools.count()
WHY = "request 4711 of the data protection officer"


def index_of(name: str) -> str:
    return keyed_index(KEY, "subject", "acme", ISSUER, name)


def clock() -> StoreClock:
    return StoreClock(lambda: AT, lambda: AT, 0)


def recorder(store: AnyStore) -> Recorder:
    return Recorder(store, clock(), Entropy(f"r{next(_seeds)}"), boot=store.boot, index_key=KEY)


def erasures(store: AnyStore) -> Erasures:
    return Erasures(store, recorder(store), clock(), KEY)


async def lived(store: AnyStore, who: Account, n: int) -> None:
    """Everything that a store may hold of a person: as subject, approver, deputy and human of the directory."""
    mine, name = index_of(who.id), who.id

    def made(stamp: Stamp) -> bytes:
        people = [stamp.account(ISSUER, name), {"human": stamp.human(name)}, {"name": stamp.person("name", "", name)}]
        return encode(stamp, "reload", {"by": people, "kept": commitment(b"s" * 32, "input", canonical(name))})

    ref = await recorder(store).commit_event("acme", "reload", made, (), AT)
    value = ValueRow(an_id(n), "acme", mine, "input", b"s" * 32, canonical({"subject": {"id": name}}))
    call = CallRow(f"call-{n}", "acme", mine, b"s" * 32, f"digest-{n}", AT)
    await store.commit(entry(n, values=(value,), call=call))
    request = an_approval(n + 1, subject_index=mine, call_subject=who, call_digest=f"digest-{n}")
    acted = an_approval(n + 2, subject_index="x", call_actors=(Account("", "agent"), who))
    vote = a_vote(n + 3, request, human=name, account=who, behalf=name, reason=f"{name} asked")
    steps: tuple[Step, ...] = (
        Open(request, shown_of(request, task=f"for {name}")),
        Open(acted, shown_of(acted)),
        Move(request.id, 1, Event.FILL, AT, vote=vote),
        Insert(a_grant(n + 4, subject=who, subject_index=mine, issued_by=("bob", name))),
        Insert(a_consent(n + 5, subject=who, subject_index=mine)),
        Insert(Delegation(an_id(n + 6), "acme", name, "carol", AT, AT + 9, f"{name} is away")),
        Insert(Delegation(an_id(n + 7), "acme", "carol", name, AT, AT + 9, "")),
        See(LastClaims("acme", who, name, ("ops",), AT)),
    )
    for at, step in enumerate(steps):
        await store.commit(entry(n + 10 + at, steps=(step,)))
    off = SwitchRow("acme", "subject", "", name, True, "incident", "ops", AT)
    for at, row in enumerate((off, replace(off, engaged=False))):
        await store.commit(entry(n + 30 + at, switch=row))
    assert ref.index >= 0


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def stored(store: AnyStore, count: int) -> list[bytes]:
    rows = [store.record_at(n) for n in range(count)]
    return [row.record for row in rows if row is not None]


async def everything(store: AnyStore, where: dict[str, Any], request: Any) -> bytes:
    """All bytes that are left, after the database's own tidying."""
    if "path" in where:
        await store.close()
        return files(where["path"])
    server: Postgres = request.getfixturevalue("postgres")
    name = where["url"].partition("?")[0].rpartition("/")[2]
    await store.close()
    server.sql("VACUUM FULL", "CHECKPOINT", database=name)
    ((oid,),) = server.sql(f"SELECT oid::int FROM pg_database WHERE datname = '{name}'")
    data = b"".join(
        path.read_bytes() for path in (server.folder / "data" / "base" / str(oid)).iterdir() if path.is_file()
    )
    tables = [
        row[0]
        for row in server.sql("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'", database=name)
    ]
    rows = [
        server.sql(f'SELECT t FROM "{table}" t', database=name) for table in tables
    ]  # what is compressed in the files
    return data + repr(rows).encode()


@pytest.mark.parametrize("before", [False, True])
async def test_a_dictionary_finds_nobody_in_what_remains(
    place: Any, where: dict[str, Any], request: Any, tmp_path: Path, before: bool
) -> None:
    """With 10,000 names, the right one among them, and the service's keys. Before the erasure the same attack finds
    the person, so it is one."""
    store = place.open()
    await lived(store, MARA, 1000)
    await lived(store, OTTO, 2000)
    (tmp_path / "index").mkdir()
    index = SearchIndex(store, tmp_path / "index", KEY)
    hits, _ = await Search(store, index, KEY).find(AUDITOR, SearchAsk(people={"person": MARA}), 50, 0)
    assert len(hits.matches) == 1
    if not before:
        erased = await erasures(store).erase(OPERATOR, Account("", VICTIM), WHY)
        assert len(erased.pseudonyms) == 3  # as account, as human, as a name of a switch
        assert erased.rows > 10
    await index.close()
    left = await everything(store, where, request)
    left += b"".join(path.read_bytes() for path in (tmp_path / "index").iterdir())
    names = dictionary.candidates(VICTIM)
    assert len(names) == dictionary.CANDIDATES
    assert dictionary.found(left, names, ISSUER, KEY, "acme") == ({VICTIM} if before else set())
    assert (VICTIM.encode() in left) is before
    assert dictionary.found(left, [OTHER], ISSUER, KEY, "acme") == {OTHER}  # nobody else is


async def test_every_proof_still_verifies(store: AnyStore, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    log = Publisher(store, LogFolder(tmp_path), key, now_ns=lambda: AT)
    await lived(store, MARA, 1000)
    before = await log.publish()
    records = stored(store, before.size)
    proof = await log.inclusion(0)
    erased = await erasures(store).erase(OPERATOR, MARA, WHY)
    after = await log.publish()
    assert stored(store, before.size) == records
    path = (await log.consistency(before.size)).hashes
    c2sp.verify_growth((before.size, before.root), (after.size, after.root), path)
    assert c2sp.root_from_path(c2sp.leaf_hash(records[0]), 0, before.size, proof.hashes) == before.root
    assert len(c2sp.verify_log(lambda name: (tmp_path / name).read_bytes(), log.verifier.text())) == after.size
    (ref,) = erased.refs
    found = store.record_at(ref.index)
    assert found is not None
    record = json.loads(found.record)
    assert (record["kind"], record["by"], record["records"]) == ("erasure", "ops", before.size)
    assert tuple(record["people"]["items"]) == erased.pseudonyms
    value = store.value(record["id"], "reason")
    assert value is not None
    assert commitment(value.salt, "reason", value.data) == record["reason"]


async def test_what_is_there_again_is_erased_again(store: AnyStore) -> None:
    await lived(store, MARA, 1000)
    first = await erasures(store).erase(OPERATOR, MARA, WHY)
    size = store.size()
    assert first.rows
    nothing = await erasures(store).erase(OPERATOR, MARA, WHY)
    assert (nothing.rows, nothing.pseudonyms, nothing.refs, store.size()) == (0, (), (), size)
    value = ValueRow(an_id(7000), "acme", index_of(VICTIM), "input", b"s" * 32, b"{}")
    await store.commit(entry(7000, values=(value,)))  # of a request that was on its way
    again = await erasures(store).erase(OPERATOR, MARA, WHY)
    assert (again.rows, again.pseudonyms, len(again.refs)) == (1, (), 1)


async def test_an_erasure_is_of_the_operators_tenant(store: AnyStore) -> None:
    await lived(store, MARA, 1000)
    for tenant in ("beta", "other"):
        erased = await erasures(store).erase(replace(OPERATOR, tenant=tenant), Account("", VICTIM), WHY)
        assert erased.rows == 0
    elsewhere = await erasures(store).erase(OPERATOR, Account("https://other.example", VICTIM), WHY)
    assert elsewhere.pseudonyms == ()
    everywhere = await erasures(store).erase(replace(OPERATOR, tenant="*"), Account("", VICTIM), WHY)
    assert len(everywhere.pseudonyms) == 3


async def test_what_was_asked_or_agreed_counts_no_longer(store: AnyStore) -> None:
    await lived(store, MARA, 1000)
    pseudonyms = {row.kind: row.pseudonym for row in store.people_named("acme", VICTIM)}
    erased = await erasures(store).erase(OPERATOR, Account("", VICTIM), WHY)
    grant, approval = store.grant("acme", an_id(1004)), store.approval("acme", an_id(1001))
    assert grant is not None
    assert approval is not None
    assert grant.subject.id in erased.pseudonyms
    assert grant.arguments_schema == b"false"
    assert set(grant.issued_by) <= {"bob", *erased.pseudonyms}
    assert approval.call.subject.id in erased.pseudonyms
    assert approval.subject_index == ""
    assert store.consents_for("acme", MARA, "agent") == ()
    (vote,) = store.votes(approval.id)
    assert (vote.human, vote.account.id, vote.behalf) == tuple(map(pseudonyms.get, ("human", "account", "human")))
    assert vote.reason == ""
    acted = store.approval("acme", an_id(1002))
    assert acted is not None
    assert acted.call.actors[0] == Account("", "agent")
    assert acted.call.actors[1].id in erased.pseudonyms


async def test_what_is_refused(store: AnyStore) -> None:
    await lived(store, MARA, 1000)
    size = store.size()
    for who, why in (
        (MARA, ""),
        (MARA, f"{VICTIM.upper()} wants it"),
        (Account("", f"p-{0:032x}"), WHY),
    ):
        with pytest.raises(InvalidRequest):
            await erasures(store).erase(OPERATOR, who, why)
    await store.commit(entry(8000, switch=replace(a_switch(value=VICTIM), scope="subject", server="")))
    with pytest.raises(InvalidRequest) as refused:  # that somebody is stopped must not be forgotten
        await erasures(store).erase(OPERATOR, MARA, WHY)
    assert refused.value.code == "erasure.switched_off"
    assert store.size() == size + 1
    assert store.call("call-1000") is not None
    elsewhere = replace(OPERATOR, tenant="beta")  # where nobody of that name is stopped
    assert (await erasures(store).erase(elsewhere, Account("", VICTIM), WHY)).rows == 0
