"""Who verifies may ask for witnesses: then a log that nobody else has seen is not enough."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.checking import proof
from pdp.audit.checking.cosigned import Cosigned
from pdp.audit.checking.findings import Kind
from pdp.audit.checking.verify import Report, verify
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.tree import checkpoint, cosign, note
from pdp.audit.tree.cosign import Cosigner
from pdp.audit.tree.keys import published
from pdp.audit.tree.merkle import ProofError
from pdp.audit.tree.policy import Policy, quorum
from pdp.audit.tree.tiles import records
from pdp.serve.witnessing import Given, store
from tests.unit.audit.hosts import NOW, SECOND, Writer, sealed

TIME = 1_800_000_000
PRIVATE = {name: Ed25519PrivateKey.from_private_bytes(bytes([ord(name)]) * 32) for name in "abc"}
KEYS = {name: cosign.named(f"{name}.example", private) for name, private in PRIVATE.items()}
TWO_OF_THREE = quorum(list(KEYS.values()), 2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("whole") / "audit"
    writer = Writer(directory)
    for number in range(4):
        writer.write(100)
        sealed(directory, NOW + number * SECOND)
    return directory


@pytest.fixture
def there(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "audit")
    return tmp_path / "audit"


def cosigned(directory: Path, size: int, names: str, at: int = TIME) -> None:
    log = directory / "log"
    text = note.parse((log / checkpoint.place(size)).read_bytes()).text
    for name in names:
        store(log, Given(size, cosign.cosigned(text, f"{name}.example", PRIVATE[name], at), at), Files())


def looked(directory: Path, policy: Policy = TWO_OF_THREE, now: int = TIME, within: int | None = 600) -> Report:
    return verify(directory, published(directory / "keys"), cosigned=Cosigned(policy, now, within))


def kinds(report: Report) -> list[Kind]:
    return [each.kind for each in report.findings]


def test_a_log_that_enough_witnesses_saw_is_fine(there: Path) -> None:
    cosigned(there, 200, "abc", TIME - 90)
    cosigned(there, 300, "ab", TIME - 60)
    cosigned(there, 400, "c")
    report = looked(there)
    assert (report.findings, report.cosigned, report.size) == ([], (300, TIME - 60), 400)


def test_the_time_is_the_one_at_which_enough_had_it(there: Path) -> None:
    for name, at in (("a", TIME - 500), ("b", TIME - 20), ("c", TIME - 100)):
        cosigned(there, 400, name, at)
    assert looked(there).cosigned == (400, TIME - 100)


def test_a_log_that_too_few_witnesses_saw_is_not_enough(there: Path) -> None:
    assert kinds(looked(there)) == [Kind.UNWITNESSED]
    cosigned(there, 400, "a")
    cosigned(there, 300, "b")
    assert kinds(looked(there)) == [Kind.UNWITNESSED]
    assert looked(there).code == 41


def test_a_cosignature_of_long_ago_is_not_enough(there: Path) -> None:
    cosigned(there, 400, "ab", TIME - 601)
    assert kinds(looked(there)) == [Kind.STALE]
    assert looked(there, within=None).findings == []


def test_a_cosignature_that_is_wrong_is_a_finding(there: Path) -> None:
    cosigned(there, 300, "ab", TIME - 10)
    cosigned(there, 400, "ab")
    path = there / "log" / checkpoint.place(400)
    parsed = note.parse(path.read_bytes())
    line = note.line_of(next(each for each in parsed.signatures if each.name == "a.example"))
    other = note.parse((there / "log" / checkpoint.place(300)).read_bytes())
    moved = note.line_of(next(each for each in other.signatures if each.name == "a.example"))
    path.write_bytes(path.read_bytes().replace(line.encode(), moved.encode()))
    report = looked(there)
    assert kinds(report) == [Kind.COSIGNATURE]
    assert (report.code, report.cosigned) == (40, (300, TIME - 10))


@pytest.mark.parametrize(("first", "then"), [(TIME, TIME - 1), (TIME, TIME + 301)])
def test_times_that_cannot_be_are_a_finding(there: Path, first: int, then: int) -> None:
    cosigned(there, 300, "ab", first)
    cosigned(there, 400, "ab", then)
    assert set(kinds(looked(there))) == {Kind.TIMES}


def test_a_signature_of_a_log_is_no_cosignature_and_the_other_way_round(there: Path) -> None:
    """The same 32 bytes may be both: what is signed is not."""
    text = note.parse((there / "log/checkpoint").read_bytes()).text
    plain = note.sign(text, "a.example", PRIVATE["a"])
    with pytest.raises(note.UnknownSigner):
        note.verified(note.parse(plain), [KEYS["a"]])
    line = cosign.cosigned(text, "a.example", PRIVATE["a"], TIME)
    with pytest.raises(note.UnknownSigner):
        note.verified(note.parse(f"{text}\n{line}".encode()), [note.verifier("a.example", PRIVATE["a"])])


def test_a_cosignature_without_a_time_is_none() -> None:
    key: Cosigner = KEYS["a"]
    signature = PRIVATE["a"].sign(b"cosignature/v1\ntime 0\nx\n1\ny\n")
    assert not key.signed(b"x\n1\ny\n", bytes(8) + signature)
    assert not key.signed(b"x\n1\ny\n", (1 << 63).to_bytes(8, "big") + signature)
    assert not key.signed(b"x\n1\ny\n", b"")
    with pytest.raises(note.NoteError):
        cosign.cosigned("x\n1\ny\n", "a.example", PRIVATE["a"], 0)


def test_who_rewrites_the_log_with_its_key_has_no_witness(there: Path, tmp_path: Path) -> None:
    """The attack that no key of the log can hide: the new history is one that the witnesses never saw."""
    cosigned(there, 400, "abc")
    other = tmp_path / "other"
    Writer(other).write(400, ',"another":1')
    (other / "keys").mkdir()
    for each in ("1.key", "1.vkey"):
        (other / "keys" / each).write_bytes((there / "keys" / each).read_bytes())
        (other / "keys" / each).chmod(0o600)
    sealed(other)
    assert verify(other, published(there / "keys")).findings == []  # With the key of the log alone all is well.
    assert kinds(looked(other)) == [Kind.UNWITNESSED]
    taken = note.parse((there / "log/checkpoint").read_bytes())
    lines = [note.line_of(each) for each in taken.signatures if each.name.endswith(".example")]
    for name in ("checkpoint", checkpoint.place(400)):
        path = other / "log" / name
        path.write_bytes(cosign.added(path.read_bytes(), lines))
    assert set(kinds(looked(other))) == {Kind.COSIGNATURE, Kind.UNWITNESSED}


# -------------------------------------------------------------------------------------------------------------- proofs


def proven(directory: Path, index: int, policy: Policy | None = None) -> bytes:
    ((_, record),) = [each for each in records(directory / "log", 400) if each[0] == index]
    return proof.prove(directory / "log", index, record, published(directory / "keys"), policy)


def test_a_proof_leads_to_the_newest_checkpoint_that_is_cosigned(there: Path) -> None:
    keys = published(there / "keys")
    assert proof.check(proven(there, 50), keys).checkpoint.size == 400
    cosigned(there, 200, "ab")
    cosigned(there, 300, "a")
    assert proof.check(proven(there, 50), keys).checkpoint.size == 300
    found = proof.check(proven(there, 50, TWO_OF_THREE), keys, TWO_OF_THREE)
    assert (found.checkpoint.size, {each.by for each in found.witnesses}) == (200, {KEYS["a"], KEYS["b"]})
    assert proof.check(proven(there, 350), keys).checkpoint.size == 400  # None of the cosigned ones has it.


def test_where_witnesses_are_asked_for_a_proof_without_them_is_none(there: Path) -> None:
    keys = published(there / "keys")
    with pytest.raises(EvidenceError, match="enough witnesses"):
        proven(there, 50, TWO_OF_THREE)
    cosigned(there, 400, "a")
    with pytest.raises(ProofError, match="enough witnesses"):
        proof.check(proven(there, 50), keys, TWO_OF_THREE)
    cosigned(there, 400, "b")
    made = proven(there, 50)
    proof.check(made, keys, TWO_OF_THREE)
    with pytest.raises(ProofError):
        proof.check(made.replace(b"a.example ", b"d.example "), keys, TWO_OF_THREE)


def test_the_key_of_another_log_signs_nothing_of_this_one(there: Path) -> None:
    """Where a policy names the logs of a fleet: each host has a key, and only its own."""
    own = published(there / "keys")[0]
    other = note.verifier("pdp.example/host-2", PRIVATE["a"])
    data = (there / "log/checkpoint").read_bytes()
    text = note.parse(data).text
    forged = note.sign(text, other.name, PRIVATE["a"])
    for name in ("checkpoint", checkpoint.place(400)):
        (there / "log" / name).write_bytes(forged)
    assert Kind.FOREIGN_KEY in [each.kind for each in verify(there, [own, other]).findings]
    (there / "log/checkpoint").write_bytes(data)
    (there / "log" / checkpoint.place(400)).write_bytes(data)
    assert verify(there, [own, other]).findings == []
