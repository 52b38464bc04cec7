"""One record, proven with a file that needs nothing but a public key."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from pdp.audit.checking import proof
from pdp.audit.evidence import EvidenceError
from pdp.audit.tree import checkpoint, note
from pdp.audit.tree.keys import published
from pdp.audit.tree.merkle import ProofError
from pdp.audit.tree.note import VerifierKey, verifier
from pdp.audit.tree.tiles import records
from tests.unit.audit.hosts import ORIGIN, Writer, sealed

OTHER = verifier(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"o" * 32))


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("proof")
    for slot in (0, 1):
        Writer(base, slot).write(300)
    sealed(base)
    return base


@pytest.fixture(scope="module")
def keys(there: Path) -> list[VerifierKey]:
    return published(there / "keys")


def made(there: Path, keys: list[VerifierKey], identifier: str = "d-1-7") -> bytes:
    [(index, record)] = proof.find(there / "log", 600, identifier)
    return proof.prove(there / "log", index, record, keys)


@pytest.mark.parametrize("identifier", ["d-0-1", "d-0-300", "d-1-1", "d-1-300"])
def test_a_decision_is_found_by_its_id_and_proven(there: Path, keys: list[VerifierKey], identifier: str) -> None:
    proven = proof.check(made(there, keys, identifier), keys)
    assert f'"id":"{identifier}"'.encode() in proven.record
    assert (proven.checkpoint.size, proven.checkpoint.origin, proven.signers) == (600, ORIGIN, tuple(keys))
    assert dict(records(there / "log", 600))[proven.index] == proven.record


def test_an_id_elsewhere_in_a_record_is_not_its_id(tmp_path: Path) -> None:
    Writer(tmp_path).write(1, ',"detail":{"id":"d-9-9"}')
    sealed(tmp_path)
    assert list(proof.find(tmp_path / "log", 1, "d-9-9")) == []
    assert [index for index, _ in proof.find(tmp_path / "log", 1, "d-0-1")] == [0]


def test_no_other_key_makes_it_good(there: Path, keys: list[VerifierKey]) -> None:
    for wrong in ([], [OTHER]):
        with pytest.raises(ProofError, match="not to be trusted"):
            proof.check(made(there, keys), wrong)


def test_another_record_index_hash_or_checkpoint_is_refused(there: Path, keys: list[VerifierKey]) -> None:
    data = made(there, keys)
    lines = data.decode().split("\n")
    blank = lines.index("")
    other = made(there, keys, "d-1-8").decode().split("\n")
    for changed in (
        [lines[0], other[1], *lines[2:]],
        [*lines[:2], other[2], *lines[3:]],
        [*lines[:3], lines[4], lines[3], *lines[5:]],
        [*lines[:3], *lines[4:]],
        [*lines[:blank], lines[3], *lines[blank:]],
        [*lines[: blank + 2], "599", *lines[blank + 3 :]],
    ):
        with pytest.raises(ProofError):
            proof.check("\n".join(changed).encode(), keys)


@pytest.mark.parametrize(
    "head",
    [
        "",
        "c2sp.org/tlog-proof@v2\nextra AA==\nindex 0",
        "c2sp.org/tlog-proof@v1\nindex 0",
        "c2sp.org/tlog-proof@v1\nextra AA==",
        "c2sp.org/tlog-proof@v1\nextra AA=\nindex 0",
        "c2sp.org/tlog-proof@v1\nextra AA==\nindex 00",
        "c2sp.org/tlog-proof@v1\nextra AA==\nindex -1",
        "c2sp.org/tlog-proof@v1\nextra AA==\nindex 0\nAA==",
        "c2sp.org/tlog-proof@v1\nextra AA==\nindex 0" + "\n" + "A" * 43 + "=" * 64,
        "c2sp.org/tlog-proof@v1\nextra \u00e9\nindex 0",
    ],
)
def test_what_is_not_a_proof_is_refused(there: Path, keys: list[VerifierKey], head: str) -> None:
    signed = (there / "log/checkpoint").read_bytes()
    for data in (head.encode() + b"\n\n" + signed, head.encode()):
        with pytest.raises(ProofError):
            proof.check(data, keys)


@given(data=st.binary(max_size=300))
def test_any_bytes_are_a_proof_or_refused(data: bytes) -> None:
    for each in (data, proof.HEADER.encode() + b"\n" + data):
        with pytest.raises(ProofError):
            proof.check(each, [OTHER])


def test_a_record_that_was_changed_is_not_proven(tmp_path: Path) -> None:
    Writer(tmp_path).write(3)
    sealed(tmp_path)
    keys = published(tmp_path / "keys")
    path = tmp_path / "log/tile/entries/000.p/3"
    path.write_bytes(path.read_bytes().replace(b'"n":"x"', b'"n":"y"'))
    [(index, record)] = proof.find(tmp_path / "log", 3, "d-0-2")
    with pytest.raises(EvidenceError, match="was changed"):
        proof.prove(tmp_path / "log", index, record, keys)


def test_a_log_of_one_record_needs_no_hash_at_all(tmp_path: Path) -> None:
    Writer(tmp_path).write(1)
    sealed(tmp_path)
    keys = published(tmp_path / "keys")
    data = made_of_one(tmp_path, keys)
    assert proof.check(data, keys).index == 0
    assert data.decode().split("\n")[3] == ""


def made_of_one(directory: Path, keys: list[VerifierKey]) -> bytes:
    [(index, record)] = proof.find(directory / "log", 1, "d-0-1")
    return proof.prove(directory / "log", index, record, keys)


def test_aics_tlog_accepts_the_parts_of_our_proof(there: Path, keys: list[VerifierKey]) -> None:
    aics = pytest.importorskip("aics_tlog", reason="aics-tlog is not installed")
    data = made(there, keys)
    head, _, signed = data.partition(b"\n\n")
    path = [note.decoded(each) for each in head.decode().split("\n")[3:]]
    proven = proof.check(data, keys)
    said = aics.parse_checkpoint(aics.parse_note(signed).text)
    assert aics.verify_checkpoint(aics.parse_note(signed), aics.parse_vkey(str(keys[0]))).ok
    assert aics.verify_leaf_inclusion(proven.record, proven.index, said.size, path, said.root)
    assert checkpoint.parse(note.parse(signed).text).root == said.root
