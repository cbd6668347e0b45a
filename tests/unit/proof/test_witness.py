"""A witness, asked as C2SP tlog-witness says, and policies as C2SP tlog-policy says; cosignatures are looked at by a
verifier that shares nothing with them."""

from __future__ import annotations

import base64
import errno
import itertools
import os
import random
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support import c2sp
from support.for_each import for_each

from pdp.core.errors import ConfigurationFault
from pdp.proof import merkle
from pdp.proof.cosignature import WitnessKey, WitnessPolicy, cosign, cosigned
from pdp.proof.note import Checkpoint, LogKey, NoteFault, sign
from pdp.proof.witness import Submission, Witness

ORIGIN, NAME, AT = "example.com/log", "witness.example/1", 1_800_000_000
LOG, OTHER, KEY = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
LOG_KEY, VKEY = LogKey(ORIGIN, LOG.public_key()), WitnessKey(NAME, KEY.public_key()).text()


def leaves(size: int, fork: int = 1 << 30) -> list[bytes]:
    """Of a log, or of one that has other records from `fork` on."""
    return [c2sp.leaf_hash(b"%d%s" % (n, b"x" if n >= fork else b"")) for n in range(size)]


def node_of(hashes: list[bytes]) -> merkle.Node:
    return lambda level, index: c2sp.tree_hash(hashes[index << level : (index + 1) << level])


def checkpoint(size: int, fork: int = 1 << 30) -> Checkpoint:
    return Checkpoint(ORIGIN, size, c2sp.tree_hash(leaves(size, fork)))


def submission(old: int, size: int, fork: int = 1 << 30, key: Ed25519PrivateKey = LOG) -> bytes:
    new = checkpoint(size, fork)
    proof = merkle.consistency(old, size, node_of(leaves(size, fork))) if 0 < old <= size else ()
    return Submission(old, proof, sign(new, key), new).text().encode()


@pytest.fixture
def witness(tmp_path: Path) -> Any:
    made = Witness(tmp_path, NAME, KEY, [LOG_KEY], lambda: AT)
    yield made
    made.close()


def again(witness: Witness, tmp_path: Path) -> Witness:
    witness.close()
    return Witness(tmp_path, NAME, KEY, [LOG_KEY], lambda: AT)


def test_it_cosigns_a_log_that_grows(witness: Witness, tmp_path: Path) -> None:
    sizes = [0, 0, 1, 2, 2, 7, 8, 100, 256, 257, 300]
    for old, size in itertools.pairwise(sizes):
        answer = witness.add(submission(old, size))
        assert answer.status == 200, (old, size)
        assert c2sp.cosigned_at((sign(checkpoint(size), LOG) + answer.body).encode(), VKEY) == AT
        witness = again(witness, tmp_path) if size % 2 else witness
    answer = witness.add(submission(0, 300))
    assert (answer.status, answer.body, answer.kind) == (409, "300\n", "text/x.tlog.size")
    with pytest.raises(ConfigurationFault, match="another witness"):
        Witness(tmp_path, NAME, KEY, [LOG_KEY], lambda: AT)
    witness.close()


def changed(body: bytes, old: bytes, new: bytes) -> bytes:
    assert body.count(old) >= 1
    return body.replace(old, new, 1)


GOOD = submission(5, 9)
HASH = base64.b64encode(bytes(32))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff" * 50, 400),
        (changed(GOOD, b"old 5", b"old 05"), 400),
        (changed(GOOD, b"old 5", b"old -5"), 400),
        (changed(GOOD, b"old 5", b"new 5"), 400),
        (changed(GOOD, b"old 5\n", b"old 5\nzz\n"), 400),
        (changed(GOOD, b"old 5\n", b"old 5\n" + (HASH + b"\n") * 64), 400),
        (changed(GOOD, b"old 5\n", b"old 5\n" + base64.b64encode(bytes(31)) + b"\n"), 400),
        (submission(9, 5), 400),
        (changed(GOOD, ORIGIN.encode(), b"example.com/other"), 404),
        (submission(5, 9, key=OTHER), 403),
        (changed(GOOD, b"\n9\n", b"\n8\n"), 403),
        (submission(4, 9), 409),
        (submission(0, 9), 409),
        (submission(6, 9), 409),
        (submission(5, 9, fork=3), 422),
        (submission(5, 5, fork=3), 422),
        (changed(GOOD, b"old 5\n", b"old 5\n" + HASH + b"\n"), 422),
        (GOOD, 200),
    ],
)
def test_what_it_answers(witness: Witness, tmp_path: Path, body: bytes, status: int) -> None:
    assert witness.add(submission(0, 5)).status == 200
    kept = witness.file(ORIGIN).read_bytes()
    answer = witness.add(body)
    assert answer.status == status
    if status != 200:
        assert (witness.file(ORIGIN).read_bytes(), answer.body) == (kept, "5\n" if status == 409 else "")
        assert witness.add(submission(5, 6)).status == 200


def test_it_never_goes_back_whatever_it_is_asked(witness: Witness, tmp_path: Path) -> None:
    """Two logs by one key: after each cosignature nothing is cosigned that does not extend it."""
    draw, size, fork = random.Random(14), 0, 1 << 30
    for _ in range(300):
        old, new = draw.choice([size, draw.randrange(30)]), draw.randrange(30)
        other = draw.choice([1 << 30, 11, 17])
        if witness.add(submission(old, new, other)).status == 200:
            assert (old, new >= size) == (size, True)
            assert leaves(size, other) == leaves(size, fork)
            size, fork = new, other
        if draw.random() < 0.1:
            witness = again(witness, tmp_path)
    assert size > 20
    witness.close()


def test_nothing_is_cosigned_before_it_is_on_the_disk(
    witness: Witness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed sync is final; a full disk is not."""
    assert witness.add(submission(0, 5)).status == 200
    synced, real = list[str](), os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())), real(fd))[1]
    )
    assert witness.add(submission(5, 6)).status == 200
    assert [Path(each).suffix for each in synced] == [".new", ""]  # the file, then its name in the folder
    with monkeypatch.context() as full:
        full.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        assert witness.add(submission(6, 7)).status == 503
    assert witness.add(submission(6, 7)).status == 200
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
        assert witness.add(submission(7, 8)).status == 503
    assert witness.add(submission(7, 8)).status == 503
    witness = again(witness, tmp_path)
    assert witness.add(submission(7, 8)).status == 200
    witness.close()


@pytest.mark.parametrize("broken", [b"", b"x", b"example.com/other\n5\n" + HASH + b"\n", b"\xff"])
def test_a_state_that_cannot_be_read_is_no_new_log(witness: Witness, tmp_path: Path, broken: bytes) -> None:
    witness.add(submission(0, 5))
    witness.file(ORIGIN).write_bytes(broken)
    witness.close()
    with pytest.raises(ConfigurationFault) as fault:
        Witness(tmp_path, NAME, KEY, [LOG_KEY], lambda: AT)
    assert fault.value.code == "witness.state"


def test_the_whole_text_is_cosigned(witness: Witness) -> None:
    """With lines of extensions."""
    text = f"{checkpoint(3).text()}extension\n"
    note = sign(checkpoint(3), LOG)
    signed = LogKey(ORIGIN, LOG.public_key()).id + LOG.sign(text.encode())
    note = f"{text}\n\N{EM DASH} {ORIGIN} {base64.b64encode(signed).decode()}\n"
    answer = witness.add(f"old 0\n\n{note}".encode())
    assert answer.status == 200
    assert c2sp.cosigned_at((note + answer.body).encode(), VKEY) == AT


def test_one_flipped_bit_of_a_cosignature_is_found() -> None:
    note = sign(checkpoint(3), LOG)
    line = cosign(checkpoint(3).text(), NAME, KEY, AT)
    keys = [WitnessKey.read(VKEY)]
    assert cosigned(note + line, keys) == {VKEY: AT}
    data = bytearray(base64.b64decode(line.split(" ")[2]))
    for at in range(4, len(data)):
        data[at] ^= 1
        bad = f"{note}\N{EM DASH} {NAME} {base64.b64encode(data).decode()}\n"
        data[at] ^= 1
        with pytest.raises(c2sp.Rejected):
            c2sp.cosigned_at(bad.encode(), VKEY)
        with pytest.raises(NoteFault):
            cosigned(bad, keys)
    for other in (sign(checkpoint(4), LOG), note.replace("3", "2", 1)):
        with pytest.raises(NoteFault):
            cosigned(other + line, keys)
    as_log = LogKey(NAME, KEY.public_key()).text()
    assert as_log != VKEY
    with pytest.raises(ConfigurationFault):
        WitnessKey.read(as_log)
    with pytest.raises(ConfigurationFault):
        LogKey.read(VKEY)


KEYS = {n: Ed25519PrivateKey.from_private_bytes(bytes([9, n]) * 16) for n in range(6)}


def vkey(n: int) -> str:
    return WitnessKey(f"w.example/{n}", KEYS[n].public_key()).text()


LINES = "".join(f"witness X{n} {vkey(n)} https://w.example/{n}/\n" for n in range(6))
POLICY = f"""# two organisations
log {LOG_KEY.text()}
{LINES}
\tgroup  X 2 X0 X1 X2
group Y any X3 X4 X5
group both all X Y
quorum both
"""


@pytest.mark.parametrize(
    ("by", "met"),
    [((), False), ((0, 1), False), ((0, 3), False), ((0, 1, 3), True), ((0, 2, 5), True), ((3, 4, 5), False)],
)
def test_a_quorum_of_groups(by: tuple[int, ...], met: bool) -> None:
    policy = WitnessPolicy.read(POLICY)
    assert [key.text() for key in policy.logs] == [LOG_KEY.text()]
    assert policy.witnesses[0].url == "https://w.example/0"
    text = checkpoint(3).text()
    note = sign(checkpoint(3), LOG) + "".join(cosign(text, f"w.example/{n}", KEYS[n], AT + n) for n in by)
    if met:
        policy.demand(note)
        policy.demand(note, AT)
        with pytest.raises(NoteFault, match="recently enough"):
            policy.demand(note, AT + max(by) + 1)
    else:
        with pytest.raises(NoteFault, match="not cosigned by the quorum"):
            policy.demand(note)
    WitnessPolicy.read(f"{LINES}quorum none").demand(note)


@for_each(
    "text",
    [
        "", LINES, f"{LINES}quorum nobody", f"{LINES}quorum X0\nquorum X1", f"{LINES}group g 0 X0\nquorum g",
        f"{LINES}group g 2 X0\nquorum g", f"{LINES}group g any\nquorum g", f"{LINES}group g all X0 none\nquorum g",
        f"{LINES}group g any X0 X0\nquorum g", f"{LINES}group g any h\ngroup h any X0\nquorum g",
        f"{LINES}group X0 any X1\nquorum X0", f"{LINES}group none any X1\nquorum none", f"{LINES}{LINES}quorum X0",
        f"{LINES}witness Z {vkey(0)}\nquorum Z", f"{LINES}witness Z {LOG_KEY.text()}\nquorum Z",
        f"log {vkey(0)}\nquorum none", f"log {LOG_KEY.text()}\nlog {LOG_KEY.text()}\nquorum none",
        f"{LINES}quorum X0 X1", f"{LINES}rule X0\nquorum X0", f"witness Z {vkey(0)} http://w.example\nquorum Z",
        f"witness Z {vkey(0)} file:///etc\nquorum Z", "quorum none" + "\n" * 70_000,
    ],
)  # fmt: skip
def test_what_is_no_policy(text: str) -> None:
    with pytest.raises(ConfigurationFault) as fault:
        WitnessPolicy.read(text)
    assert fault.value.code in {"log.policy", "log.key"}
