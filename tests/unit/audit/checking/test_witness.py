"""A witness cosigns what continues all that it saw before, and nothing else, with the statuses of tlog-witness."""

from __future__ import annotations

import threading
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.checking import proof
from pdp.audit.checking.witness import SIZE, Answer, Witness
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.tree import checkpoint, cosign, merkle, note
from pdp.audit.tree.checkpoint import Checkpoint
from pdp.audit.tree.keys import published
from pdp.audit.tree.tiles import Tiles, records
from tests.unit.audit.hosts import NOW, ORIGIN, SECOND, Writer, sealed

TIME = 1_800_000_000
SIGNING = Ed25519PrivateKey.from_private_bytes(bytes(32))
WITNESS = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
NAME = "witness.example/w1"
OURS = cosign.named(NAME, WITNESS)


class Tree:
    """A log of one's own making; `flavour` forks it from `fork` on."""

    def __init__(self, flavour: str = "", fork: int = 0) -> None:
        self._leaves = [merkle.leaf(f"{i}{flavour if i >= fork else ''}".encode()) for i in range(600)]

    def perfect(self, height: int, index: int) -> bytes:
        return merkle.joined(self._leaves[index << height : (index + 1) << height])

    def at(self, size: int, origin: str = ORIGIN, key: Ed25519PrivateKey = SIGNING) -> bytes:
        return checkpoint.sign(Checkpoint(origin, size, merkle.root(size, self.perfect)), key)

    def asked(self, old: int, size: int) -> bytes:
        return body(old, merkle.consistency(old, size, self.perfect), self.at(size))


def body(old: int | str, path: list[bytes], signed: bytes) -> bytes:
    return "".join([f"old {old}\n", *(f"{b64encode(each).decode()}\n" for each in path), "\n"]).encode() + signed


TREE = Tree()


def witness(directory: Path, **more: object) -> Witness:
    keys = {ORIGIN: [note.verifier(ORIGIN, SIGNING)]}
    return Witness(directory, NAME, WITNESS, keys, **more)  # type: ignore[arg-type]


@pytest.fixture
def ours(tmp_path: Path) -> Witness:
    return witness(tmp_path)


def cosigned(answer: Answer, signed: bytes) -> list[cosign.Cosignature]:
    assert answer.status == 200, answer
    return cosign.cosignatures(note.parse(signed + answer.body.encode()), [OURS])


def test_what_continues_is_cosigned_with_a_time(ours: Witness) -> None:
    for old, size, at in ((0, 3, TIME), (3, 256, TIME + 1), (256, 257, TIME + 1), (257, 600, TIME + 9)):
        answer = ours.add_checkpoint(TREE.asked(old, size), at)
        assert cosigned(answer, TREE.at(size)) == [cosign.Cosignature(OURS, at)]


def test_the_same_size_again_is_cosigned_again(ours: Witness) -> None:
    ours.add_checkpoint(TREE.asked(0, 9), TIME)
    assert cosigned(ours.add_checkpoint(TREE.asked(9, 9), TIME + 5), TREE.at(9))[0].at == TIME + 5


def test_an_empty_log_is_cosigned(ours: Witness) -> None:
    assert ours.add_checkpoint(TREE.asked(0, 0), TIME).status == 200
    assert ours.add_checkpoint(TREE.asked(0, 5), TIME).status == 200


def test_who_does_not_know_the_old_size_is_told_it(ours: Witness) -> None:
    ours.add_checkpoint(TREE.asked(0, 9), TIME)
    assert ours.add_checkpoint(TREE.asked(0, 20), TIME) == Answer(409, "9\n", SIZE)
    assert ours.add_checkpoint(TREE.asked(5, 20), TIME) == Answer(409, "9\n", SIZE)


def test_a_forked_log_is_not_cosigned(ours: Witness) -> None:
    ours.add_checkpoint(TREE.asked(0, 9), TIME)
    fork = Tree("another", 4)
    assert ours.add_checkpoint(fork.asked(9, 20), TIME).status == 422
    assert ours.add_checkpoint(fork.asked(9, 9), TIME).status == 422
    mixed = body(9, merkle.consistency(9, 20, TREE.perfect), fork.at(20))
    assert ours.add_checkpoint(mixed, TIME).status == 422
    assert ours.add_checkpoint(TREE.asked(9, 20), TIME).status == 200  # Nothing of that was kept.


def test_a_log_that_was_set_back_is_not_cosigned(ours: Witness) -> None:
    ours.add_checkpoint(TREE.asked(0, 20), TIME)
    for old in (0, 5, 9):
        assert ours.add_checkpoint(TREE.asked(old, 9), TIME).status == 409
    assert ours.add_checkpoint(body(20, [], TREE.at(9)), TIME).status == 400


def test_an_old_request_that_is_sent_again_gets_nothing(ours: Witness) -> None:
    first = TREE.asked(0, 9)
    assert ours.add_checkpoint(first, TIME).status == 200
    ours.add_checkpoint(TREE.asked(9, 20), TIME)
    assert ours.add_checkpoint(first, TIME) == Answer(409, "20\n", SIZE)


def test_a_proof_that_is_too_long_is_refused(ours: Witness) -> None:
    ours.add_checkpoint(TREE.asked(0, 9), TIME)
    path = merkle.consistency(9, 20, TREE.perfect)
    assert ours.add_checkpoint(body(9, [*path, bytes(32)], TREE.at(20)), TIME).status == 422
    assert ours.add_checkpoint(body(9, path[:-1], TREE.at(20)), TIME).status == 422
    assert ours.add_checkpoint(body(9, [], TREE.at(20)), TIME).status == 422
    assert ours.add_checkpoint(body(9, [bytes(32)] * 63, TREE.at(20)), TIME).status == 422
    assert ours.add_checkpoint(body(9, [bytes(32)] * 64, TREE.at(20)), TIME).status == 400


def test_from_nothing_there_is_no_proof(ours: Witness) -> None:
    assert ours.add_checkpoint(body(0, [bytes(32)], TREE.at(20)), TIME).status == 422


def test_the_empty_tree_has_one_root(ours: Witness) -> None:
    signed = checkpoint.sign(Checkpoint(ORIGIN, 0, bytes(32)), SIGNING)
    assert ours.add_checkpoint(body(0, [], signed), TIME).status == 422


def test_another_log_is_not_known(ours: Witness) -> None:
    assert ours.add_checkpoint(body(0, [], TREE.at(9, "pdp.example/host-2")), TIME).status == 404


def test_a_checkpoint_that_the_log_did_not_sign_is_refused(ours: Witness) -> None:
    assert ours.add_checkpoint(body(0, [], TREE.at(9, key=WITNESS)), TIME).status == 403
    signed = TREE.at(9).replace(b"\n9\n", b"\n8\n")
    assert ours.add_checkpoint(body(0, [], signed), TIME).status == 403  # Of the right key, and not what it signed.


def test_extension_lines_and_strange_signatures_do_no_harm(ours: Witness) -> None:
    root = b64encode(merkle.root(9, TREE.perfect)).decode()
    signed = note.sign(f"{ORIGIN}\n9\n{root}\nmore of it\n", ORIGIN, SIGNING)
    signed += f"\N{EM DASH} somebody.else {b64encode(bytes(68)).decode()}\n".encode()
    assert cosigned(ours.add_checkpoint(body(0, [], signed), TIME), signed)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\n",
        b"old\n\n",
        b"old 9",
        b"old 09\n\n" + TREE.at(9),
        b"old -1\n\n" + TREE.at(9),
        b"old 0\r\n\r\n" + TREE.at(9),
        b"OLD 0\n\n" + TREE.at(9),
        b"old 0 \n\n" + TREE.at(9),
        "old \N{SUPERSCRIPT TWO}\n\n".encode() + TREE.at(9),
        b"old 0\nAAAA\n\n" + TREE.at(9),
        b"old 0\nnot base64\n\n" + TREE.at(9),
        b"old 0\n" + TREE.at(9),
        b"old 0\n\n" + TREE.at(9)[:-9],
        b"old 0\n\n" + TREE.at(9) + b"\n",
        b"old 0\n\n\xff\xfe",
        b"old 0\n\n" + b"x" * 100_000,
        b"old " + b"9" * 100 + b"\n\n" + TREE.at(9),
    ],
    ids=range(18),
)
def test_garbage_is_a_bad_request(ours: Witness, sent: bytes) -> None:
    assert ours.add_checkpoint(sent, TIME).status == 400


def test_what_was_seen_is_known_after_a_restart(tmp_path: Path) -> None:
    first = witness(tmp_path)
    first.add_checkpoint(TREE.asked(0, 9), TIME)
    first.close()
    again = witness(tmp_path)
    assert again.add_checkpoint(Tree("another").asked(0, 9), TIME).status == 409
    assert again.add_checkpoint(TREE.asked(9, 20), TIME).status == 200


def test_a_second_witness_may_not_have_the_same_state(tmp_path: Path, ours: Witness) -> None:
    with pytest.raises(EvidenceError, match="another witness"):
        witness(tmp_path)


@pytest.mark.parametrize("harm", ["emptied", "cut", "flipped", "of another key"])
def test_a_state_that_is_not_whole_is_not_taken_for_nothing(tmp_path: Path, harm: str) -> None:
    first = witness(tmp_path)
    first.add_checkpoint(TREE.asked(0, 9), TIME)
    first.close()
    path = tmp_path / sha256(ORIGIN.encode()).hexdigest() / "checkpoint"
    data = path.read_bytes()
    other = Ed25519PrivateKey.generate()
    line = cosign.cosigned(note.parse(TREE.at(9)).text, NAME, other, TIME)
    path.write_bytes(
        {
            "emptied": b"",
            "cut": data[:-20],
            "flipped": data.replace(b"\n9\n", b"\n8\n"),
            "of another key": TREE.at(9) + line.encode(),
        }[harm]
    )
    with pytest.raises(EvidenceError):
        witness(tmp_path)


class Failing(Files):
    """Fails, or ends (as a crash does), at the call with a number."""

    def __init__(self, left: int) -> None:
        self.left = left

    def _call(self) -> None:
        self.left -= 1
        if not self.left:
            raise OSError(5, "Input/output error")

    def open(self, path: Path, flags: int) -> int:
        self._call()
        return super().open(path, flags)

    def pwrite(self, file: int, data: bytes, offset: int) -> int:
        self._call()
        return super().pwrite(file, data, offset)

    def fsync(self, file: int) -> None:
        self._call()
        super().fsync(file)

    def rename(self, old: Path, new: Path) -> None:
        self._call()
        super().rename(old, new)


@pytest.mark.parametrize("number", range(1, 30))
def test_where_it_cannot_be_kept_nothing_is_cosigned_and_later_it_goes_on(tmp_path: Path, number: int) -> None:
    """After a crash between keeping and answering, the log is told the size, and asks again with it."""
    first = witness(tmp_path)
    first.add_checkpoint(TREE.asked(0, 9), TIME)
    first.close()
    failing = Failing(number)
    broken = witness(tmp_path, files=failing)
    try:
        broken.add_checkpoint(TREE.asked(9, 20), TIME)
    except OSError:
        assert broken.add_checkpoint(TREE.asked(9, 30), TIME).status in (200, 409)
    broken.close()
    again = witness(tmp_path)
    told = again.add_checkpoint(TREE.asked(0, 600), TIME + 1)
    assert told.status == 409
    assert int(told.body) in (9, 20, 30)
    assert again.add_checkpoint(TREE.asked(int(told.body), 600), TIME + 1).status == 200
    assert again.add_checkpoint(Tree("another", 3).asked(600, 600), TIME + 2).status == 422


def test_of_many_at_once_each_continues_the_one_before(ours: Witness) -> None:
    """Sizes that were cosigned never go back, in the order in which they were kept."""
    ours.add_checkpoint(TREE.asked(0, 1), TIME)
    kept: list[int] = []
    put = ours._files.put

    def keeping(path: Path, data: bytes) -> None:
        kept.append(checkpoint.head(note.parse(data).text).size)
        put(path, data)

    ours._files.put = keeping  # type: ignore[method-assign]

    def go(start: int) -> None:
        old = 1
        for size in range(start, 600, 7):
            answer = ours.add_checkpoint(TREE.asked(min(old, size), size), TIME)
            old = int(answer.body) if answer.status == 409 else size

    threads = [threading.Thread(target=go, args=(start,)) for start in range(2, 10)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert kept == sorted(kept)
    assert len(kept) > 10


def test_times_never_go_back(ours: Witness) -> None:
    ours.add_checkpoint(TREE.asked(0, 9), TIME)
    assert cosigned(ours.add_checkpoint(TREE.asked(9, 20), TIME - 30), TREE.at(20))[0].at == TIME
    assert ours.add_checkpoint(TREE.asked(20, 30), TIME - 100).status == 503


def test_an_auditor_fetches_the_newest_that_was_cosigned(ours: Witness) -> None:
    digest = sha256(ORIGIN.encode()).hexdigest()
    assert ours.checkpoint(digest).status == 404
    ours.add_checkpoint(TREE.asked(0, 9), TIME)
    found = ours.checkpoint(digest).body.encode()
    assert checkpoint.read(found, [note.verifier(ORIGIN, SIGNING)]).checkpoint.size == 9
    assert cosign.cosignatures(note.parse(found), [OURS]) == [cosign.Cosignature(OURS, TIME)]
    assert ours.checkpoint("0" * 64).status == 404


# ------------------------------------------------------------------------------------------------------- other keys


def rotated(directory: Path) -> None:
    """A real log of three epochs."""
    writer = Writer(directory)
    for epoch in range(3):
        writer.write(40)
        sealed(directory, NOW + epoch * 10 * SECOND, epoch_seconds=10)


def change(directory: Path, number: int) -> bytes:
    """The proof of the record that ends an epoch, below the last checkpoint of that epoch."""
    log, keys = directory / "log", published(directory / "keys")
    found = [(i, r) for i, r in records(log, checkpoint.last(log) or 0) if b'"kind":"key.rotate"' in r]
    index, record = found[number]
    signed = (log / checkpoint.place(index + 1)).read_bytes()
    return proof.made(log, index, record, signed, keys)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("host")
    rotated(directory)
    return directory


def watching(state: Path, host: Path) -> Witness:
    return Witness(state, NAME, WITNESS, {ORIGIN: [published(host / "keys")[0]]})


def newest(host: Path, old: int) -> bytes:
    log = host / "log"
    size = checkpoint.last(log) or 0
    return body(
        old, merkle.consistency(old, size, Tiles(log, size).perfect), (log / checkpoint.place(size)).read_bytes()
    )


def test_a_new_key_is_learned_from_the_record_that_names_it(tmp_path: Path, host: Path) -> None:
    ours = watching(tmp_path, host)
    assert ours.add_checkpoint(newest(host, 0), TIME).status == 403
    assert ours.add_key(change(host, 1)).status == 403  # That follows from a key which is not known yet.
    assert ours.add_key(change(host, 0)).status == 200
    assert ours.add_key(change(host, 0)).status == 200
    assert ours.add_key(change(host, 1)).status == 200
    assert ours.add_checkpoint(newest(host, 0), TIME).status == 200
    ours.close()
    assert watching(tmp_path, host).add_checkpoint(newest(host, checkpoint.last(host / "log") or 0), TIME).status == 200


def test_a_key_whose_time_is_over_signs_nothing_more(tmp_path: Path) -> None:
    host = tmp_path / "host"
    writer = Writer(host)
    writer.write(40)
    sealed(host, NOW, epoch_seconds=10)
    old = (host / "keys/1.key").read_bytes()
    writer.write(40)
    sealed(host, NOW + 10 * SECOND, epoch_seconds=10)
    ours = watching(tmp_path / "state", host)
    ours.add_key(change(host, 0))
    (tmp_path / "1.key").write_bytes(old)
    (tmp_path / "1.key").chmod(0o600)
    from pdp.audit.tree.keys import private_in

    stolen = private_in(tmp_path / "1.key")
    assert ours.add_checkpoint(body(0, [], TREE.at(600, key=stolen)), TIME).status == 403


def test_a_record_that_only_looks_like_a_change_of_keys_is_none(tmp_path: Path) -> None:
    """Whoever may write records may not name keys: only the sealer's own stream does."""
    host = tmp_path / "host"
    writer = Writer(host)
    writer.write(3)
    sealed(host)
    own, other = published(host / "keys")[0], note.verifier(ORIGIN, SIGNING)
    writer.write(1, f',"kind":"key.rotate","before":"{own}","vkey":"{other}"')
    sealed(host)
    log = host / "log"
    (index, record) = list(records(log, 4))[3]
    made = proof.made(log, index, record, (log / checkpoint.place(4)).read_bytes(), [own])
    ours = watching(tmp_path / "state", host)
    assert ours.add_key(made).status == 403
    assert ours.add_key(b"").status == 400
    assert ours.add_checkpoint(body(0, [], TREE.at(9)), TIME).status == 403
