"""Who edits, drops, swaps or cuts off is found out, each with an exit code and a sentence of its own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pdp.audit.checking.findings import Kind
from pdp.audit.checking.verify import Report, verify
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.tree import checkpoint, merkle
from pdp.audit.tree.keys import Keys, published
from pdp.audit.tree.note import VerifierKey
from pdp.audit.tree.tiles import Edge, packed, records, unpacked
from tests.unit.audit.hosts import NOW, ORIGIN, SECOND, Writer, sealed, sealer


def keys_of(directory: Path) -> list[VerifierKey]:
    return published(directory / "keys")


def looked(directory: Path, **more: object) -> Report:
    return verify(directory, keys_of(directory), **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 620 records, sealed in four steps, with records that wait, two slots and their second segments."""
    base = tmp_path_factory.mktemp("whole") / "audit"
    one, two = Writer(base, 0), Writer(base, 1)
    for number, counts in enumerate(((100, 20), (180, 20), (200, 20), (70, 10))):
        one.write(counts[0])
        two.write(counts[1])
        if number == 1:
            one.next_segment()
        sealed(base, NOW + number * SECOND)
    for writer, number in ((one, 3), (two, 2)):
        for _ in range(number):
            writer.write(1)
    return base


@pytest.fixture
def there(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "audit")
    return tmp_path / "audit"


def size_of(directory: Path) -> int:
    return checkpoint.last(directory / "log") or 0


def rewritten(directory: Path, change: Callable[[list[bytes]], list[bytes]], size: int = 0) -> None:
    """Records and all their tiles anew, as somebody does who knows the format and has no key."""
    log = directory / "log"
    entries = change([record for _, record in records(log, size or size_of(directory))])
    shutil.rmtree(log / "tile")
    for name, data in Edge().grow(entries).items():
        (log / name).parent.mkdir(parents=True, exist_ok=True)
        (log / name).write_bytes(data)


def resigned(directory: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """The same by whoever holds the key: the log, its state and one new checkpoint are all of a piece."""
    rewritten(directory, change)
    entries = [record for _, record in records(directory / "log", len(change([b""] * size_of(directory))))]
    edge = Edge()
    edge.grow(entries)
    shutil.rmtree(directory / "log/checkpoints")
    signed = checkpoint.sign(
        checkpoint.Checkpoint(ORIGIN, edge.size, edge.root()), Keys(directory / "keys", ORIGIN, Files()).private(1)
    )
    Files().put(directory / "log" / checkpoint.place(edge.size), signed)
    (directory / "log/checkpoint").write_bytes(signed)
    path = directory / "state/tree.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"size": edge.size, "root": edge.root().hex()}))
    (directory / "keys/promise.json").unlink()


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def edited_bundle(directory: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path = directory / "log/tile/entries/001"
    path.write_bytes(b"".join(map(packed, change(unpacked(path.read_bytes())))))


def without(index: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda entries: entries[:index] + entries[index + 1 :]


def swapped(index: int, with_next: int = 1) -> Callable[[list[bytes]], list[bytes]]:
    def change(entries: list[bytes]) -> list[bytes]:
        entries = list(entries)
        entries[index], entries[index + with_next] = entries[index + with_next], entries[index]
        return entries

    return change


def changed(index: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda entries: [*entries[:index], entries[index].replace(b'"n":"x"', b'"n":"y"'), *entries[index + 1 :]]


def test_a_log_that_nobody_touched_is_fine(there: Path) -> None:
    report = looked(there)
    assert report.findings == []
    assert (report.code, report.size, report.checkpoints, report.streams, report.waiting) == (0, 620, 5, 2, 5)
    assert report.origin == ORIGIN


def test_only_the_sealed_files_with_a_key_from_elsewhere_are_enough(there: Path) -> None:
    keys = keys_of(there)
    shutil.copytree(there / "log", there.parent / "copy")
    report = verify(there.parent / "copy", keys)
    assert (report.findings, report.live, report.size) == ([], False, 620)


def test_an_empty_log_is_fine(tmp_path: Path) -> None:
    sealed(tmp_path)
    assert looked(tmp_path).findings == []


# ------------------------------------------------------------------------------------------------------- the tampering


def entry_flipped(directory: Path) -> None:
    flip(directory / "log/tile/entries/001", 5_000)


def entry_flipped_in_its_last_record(directory: Path) -> None:
    flip(directory / "log/tile/entries/002.p/108", -20)


def record_changed_and_tiles_with_it(directory: Path) -> None:
    rewritten(directory, changed(300))


def last_record_changed_and_tiles_with_it(directory: Path) -> None:
    rewritten(directory, changed(619))


def record_changed_and_all_signed_again(directory: Path) -> None:
    resigned(directory, changed(300))


def tile_flipped(directory: Path) -> None:
    flip(directory / "log/tile/0/001", 100)


def upper_tile_flipped(directory: Path) -> None:
    flip(directory / "log/tile/1/000.p/2", 40)


def record_dropped(directory: Path) -> None:
    edited_bundle(directory, without(44))


def last_record_of_a_bundle_dropped(directory: Path) -> None:
    edited_bundle(directory, without(255))


def record_dropped_and_tiles_with_it(directory: Path) -> None:
    rewritten(directory, without(300))


def record_dropped_and_all_signed_again(directory: Path) -> None:
    resigned(directory, without(300))


def records_swapped(directory: Path) -> None:
    edited_bundle(directory, swapped(44))


def distant_records_swapped(directory: Path) -> None:
    edited_bundle(directory, swapped(44, 90))


def records_swapped_and_tiles_with_them(directory: Path) -> None:
    rewritten(directory, swapped(300))


def records_swapped_and_all_signed_again(directory: Path) -> None:
    resigned(directory, swapped(300))


def record_added(directory: Path) -> None:
    edited_bundle(directory, lambda entries: [*entries[:44], b"{}", *entries[44:]])


def record_repeated_and_all_signed_again(directory: Path) -> None:
    resigned(directory, lambda entries: [*entries, entries[300]])


def record_that_says_nothing_signed(directory: Path) -> None:
    resigned(directory, lambda entries: [*entries, b"{}"])


def truncated_to_an_older_checkpoint(directory: Path) -> None:
    """All that is on the host set back to what it was, but for what it promised."""
    shutil.copy(directory / "log" / checkpoint.place(320), directory / "log/checkpoint")
    for size in (540, 620):
        (directory / "log" / checkpoint.place(size)).unlink()
    rewritten(directory, lambda entries: entries[:320], 320)


def older_checkpoint_published(directory: Path) -> None:
    shutil.copy(directory / "log" / checkpoint.place(320), directory / "log/checkpoint")


def published_checkpoint_deleted(directory: Path) -> None:
    (directory / "log/checkpoint").unlink()


def forked_checkpoint_published(directory: Path) -> None:
    private = Keys(directory / "keys", ORIGIN, Files()).private(1)
    (directory / "log/checkpoint").write_bytes(checkpoint.sign(checkpoint.Checkpoint(ORIGIN, 620, bytes(32)), private))


def forked_checkpoint_kept(directory: Path) -> None:
    private = Keys(directory / "keys", ORIGIN, Files()).private(1)
    forked = checkpoint.sign(checkpoint.Checkpoint(ORIGIN, 320, bytes(32)), private)
    (directory / "log" / checkpoint.place(320)).write_bytes(forked)


def signed_by_a_foreign_key(directory: Path) -> None:
    private = Keys(directory / "elsewhere", ORIGIN, Files())
    private.make(1)
    rewritten(directory, changed(300))
    entries = [record for _, record in records(directory / "log", 620)]
    edge = Edge()
    edge.grow(entries)
    signed = checkpoint.sign(checkpoint.Checkpoint(ORIGIN, 620, edge.root()), private.private(1))
    (directory / "log/checkpoint").write_bytes(signed)
    (directory / "log" / checkpoint.place(620)).write_bytes(signed)


def checkpoint_edited(directory: Path) -> None:
    data = (directory / "log/checkpoint").read_bytes()
    (directory / "log/checkpoint").write_bytes(data.replace(b"\n620\n", b"\n619\n"))


def kept_checkpoint_put_in_another_place(directory: Path) -> None:
    shutil.copy(directory / "log" / checkpoint.place(320), directory / "log" / checkpoint.place(540))


def published_checkpoint_not_kept(directory: Path) -> None:
    (directory / "log" / checkpoint.place(620)).unlink()


def bundle_deleted(directory: Path) -> None:
    (directory / "log/tile/entries/001").unlink()


def tile_deleted(directory: Path) -> None:
    (directory / "log/tile/0/001").unlink()


def upper_tile_deleted(directory: Path) -> None:
    (directory / "log/tile/1/000.p/2").unlink()


def bundle_cut_short(directory: Path) -> None:
    path = directory / "log/tile/entries/001"
    path.write_bytes(path.read_bytes()[:-3])


def stream_dropped(directory: Path) -> None:
    shutil.rmtree(directory / "wal/1")


def stream_dropped_and_all_signed_again(directory: Path) -> None:
    entries = [record for _, record in records(directory / "log", 620)]
    left = [each for each in entries if b"/host-1/1/" not in each]
    resigned(directory, lambda found: left if found[0] else found[: len(left)])


def tail_dropped_with_its_segment(directory: Path) -> None:
    """The last segment goes; what is before it ends with what was sealed long ago."""
    last = sorted((directory / "wal/0").glob("seg-*"))[-1]
    last.rename(last.with_name("seg-00000009.wal"))
    last = last.with_name("seg-00000009.wal")
    flip(last, 40)


def tail_zeroed(directory: Path) -> None:
    """Of slot 1 everything but its first records, which were sealed with others behind them."""
    path = next((directory / "wal/1").glob("seg-*"))
    data = path.read_bytes()
    path.write_bytes(data[:8_192] + bytes(len(data) - 8_192))


def tail_flipped_in_its_middle(directory: Path) -> None:
    path = next((directory / "wal/1").glob("seg-*"))
    at = path.read_bytes().rindex(b'"seq":71') if b'"seq":71' in path.read_bytes() else 0
    flip(path, at)


def state_edited(directory: Path) -> None:
    path = directory / "state/tree.json"
    found = json.loads(path.read_text())
    found["slots"]["0"][2] += 1
    path.write_text(json.dumps(found))


def state_of_another_size(directory: Path) -> None:
    path = directory / "state/tree.json"
    path.write_text(path.read_text().replace('"size": 620', '"size": 621'))


def state_deleted(directory: Path) -> None:
    (directory / "state/tree.json").unlink()


def everything_deleted(directory: Path) -> None:
    shutil.rmtree(directory / "log")


CORPUS = {
    entry_flipped: Kind.CHANGED,
    entry_flipped_in_its_last_record: Kind.CHANGED,
    record_changed_and_tiles_with_it: Kind.CHANGED,
    last_record_changed_and_tiles_with_it: Kind.CHANGED,
    record_changed_and_all_signed_again: Kind.CHANGED,
    tile_flipped: Kind.TILE,
    upper_tile_flipped: Kind.TILE,
    record_dropped: Kind.DROPPED,
    last_record_of_a_bundle_dropped: Kind.DROPPED,
    record_dropped_and_tiles_with_it: Kind.DROPPED,
    record_dropped_and_all_signed_again: Kind.DROPPED,
    records_swapped: Kind.SWAPPED,
    distant_records_swapped: Kind.SWAPPED,
    records_swapped_and_tiles_with_them: Kind.SWAPPED,
    records_swapped_and_all_signed_again: Kind.SWAPPED,
    record_added: Kind.ADDED,
    record_repeated_and_all_signed_again: Kind.ADDED,
    record_that_says_nothing_signed: Kind.MALFORMED,
    truncated_to_an_older_checkpoint: Kind.SET_BACK,
    older_checkpoint_published: Kind.SET_BACK,
    published_checkpoint_deleted: Kind.SET_BACK,
    forked_checkpoint_published: Kind.FORKED,
    forked_checkpoint_kept: Kind.FORKED,
    signed_by_a_foreign_key: Kind.FOREIGN_KEY,
    checkpoint_edited: Kind.BAD_SIGNATURE,
    kept_checkpoint_put_in_another_place: Kind.BAD_SIGNATURE,
    published_checkpoint_not_kept: Kind.ARCHIVE,
    bundle_deleted: Kind.MISSING,
    tile_deleted: Kind.MISSING,
    upper_tile_deleted: Kind.MISSING,
    bundle_cut_short: Kind.MISSING,
    stream_dropped: Kind.STREAM,
    stream_dropped_and_all_signed_again: Kind.STREAM,
    tail_dropped_with_its_segment: Kind.TAIL_CHANGED,
    tail_zeroed: Kind.TAIL_DROPPED,
    tail_flipped_in_its_middle: Kind.TAIL_CHANGED,
    state_edited: Kind.STATE,
    state_of_another_size: Kind.STATE,
    state_deleted: Kind.STATE,
    everything_deleted: Kind.NO_LOG,
}


@pytest.mark.parametrize("tamper", CORPUS, ids=lambda each: each.__name__)
def test_tampering_is_found_and_named(there: Path, tamper: Callable[[Path], None]) -> None:
    keys = keys_of(there)
    tamper(there)
    report = verify(there, keys)
    assert report.code == CORPUS[tamper].code, [str(each) for each in report.findings]
    assert str(report.findings[0]).startswith(CORPUS[tamper].sentence)


def test_every_kind_has_a_code_and_a_sentence_of_its_own() -> None:
    for values in ({each.code for each in Kind}, {each.word for each in Kind}, {each.sentence for each in Kind}):
        assert len(values) == len(Kind)


@pytest.mark.parametrize("tamper", [record_changed_and_tiles_with_it, records_swapped, entry_flipped])
def test_what_was_changed_is_named_by_its_place(there: Path, tamper: Callable[[Path], None]) -> None:
    tamper(there)
    index = looked(there).findings[0].index
    assert f"record {index}" in str(looked(there).findings[0]) or f"records {index}" in str(looked(there).findings[0])
    assert index in (300, 283)


# ------------------------------------------------------------------------------------------- what an auditor has kept


def kept_of(directory: Path, size: int) -> bytes:
    return (directory / "log" / checkpoint.place(size)).read_bytes()


@pytest.mark.parametrize("size", [0, 100 + 20, 320, 540, 620])
def test_every_earlier_checkpoint_is_a_beginning_of_the_log(there: Path, size: int) -> None:
    assert looked(there, earlier=[kept_of(there, size)]).findings == []


def test_a_whole_directory_that_was_set_back_is_found_with_a_checkpoint_from_elsewhere(there: Path) -> None:
    keys, last = keys_of(there), kept_of(there, 620)
    before = there.parent / "before"
    writer = Writer(before)
    writer.write(5)
    shutil.copytree(there / "keys", before / "keys")
    (before / "keys/promise.json").unlink()
    sealed(before)
    assert verify(before, keys).findings == []
    assert verify(before, keys, earlier=[last]).code == Kind.SET_BACK.code


def test_a_log_that_its_key_holder_wrote_anew_is_found_with_a_checkpoint_from_elsewhere(there: Path) -> None:
    """All of it, from its first record: streams, signatures and state are sound in themselves."""
    earlier, keys = kept_of(there, 540), keys_of(there)
    for name in ("log", "state", "wal"):
        shutil.rmtree(there / name)
    (there / "keys/promise.json").unlink()
    Writer(there).write(700, ',"x":1')
    sealed(there)
    assert verify(there, keys).findings == []
    assert verify(there, keys, earlier=[earlier]).code == Kind.FORKED.code


def test_a_checkpoint_of_another_log_or_key_is_not_taken_for_ours(there: Path) -> None:
    other = Keys(there.parent / "other", ORIGIN, Files())
    other.make(1)
    forged = checkpoint.sign(checkpoint.Checkpoint(ORIGIN, 0, merkle.EMPTY), other.private(1))
    assert looked(there, earlier=[forged]).code == Kind.FOREIGN_KEY.code
    with pytest.raises(EvidenceError):
        looked(there, earlier=[b"no note"])


def receipt(record: bytes) -> str:
    said = json.loads(record)
    return f"{said['stream']}:{said['seq']}:{merkle.leaf(record).hex()[:16]}"


def test_receipts_of_sealed_records_are_matched(there: Path) -> None:
    given = [receipt(record) for _, record in records(there / "log", 620)]
    assert looked(there, receipts=given).findings == []


def test_a_wal_tail_that_was_cut_off_without_a_trace_is_found_by_its_receipt(there: Path) -> None:
    """Zeros are how a log ends: nothing on the host tells of the last batches. Who has the receipt does."""
    path = sorted((there / "wal/0").glob("seg-*"))[-1]
    data = path.read_bytes()
    start = data.rindex(b'{"stream"')
    record = data[start : data.index(b"}", start) + 1]
    assert looked(there, receipts=[receipt(record)]).findings == []
    path.write_bytes(data[: start - 56] + bytes(len(data) - start + 56))
    assert looked(there).findings == []
    report = looked(there, receipts=[receipt(record)])
    assert (report.code, len(report.findings)) == (Kind.RECEIPT.code, 1)


def test_a_receipt_of_another_record_under_the_same_number_is_found(there: Path) -> None:
    _, record = next(iter(records(there / "log", 620)))
    assert looked(there, receipts=[receipt(record)[:-16] + "0" * 16]).code == Kind.RECEIPT.code


@pytest.mark.parametrize("line", ["x", "a:b:c", "a:1:short", "a:x:0123456789abcdef"])
def test_what_is_not_a_receipt_is_said(there: Path, line: str) -> None:
    with pytest.raises(EvidenceError):
        looked(there, receipts=[line])


# ---------------------------------------------------------------------------------------------------------- key epochs


@pytest.fixture
def rotated(tmp_path: Path) -> Path:
    """Three keys, one after another."""
    base = tmp_path / "audit"
    writer = Writer(base)
    for number in range(6):
        writer.write(60)
        sealed(base, NOW + number * 16 * 3_600 * SECOND, epoch_seconds=86_400)
    return base


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_any_one_of_the_keys_is_enough_since_each_names_its_neighbour(rotated: Path, epoch: int) -> None:
    keys = keys_of(rotated)
    assert len(keys) == 3
    report = verify(rotated, [keys[epoch]])
    assert (report.findings, report.size) == ([], size_of(rotated))


def test_a_key_whose_time_is_over_signs_nothing_any_more(tmp_path: Path) -> None:
    base = tmp_path / "audit"
    writer = Writer(base)
    Keys(base / "keys", ORIGIN, Files()).make(1)
    old = (base / "keys/1.key").read_bytes()
    for number in range(4):
        writer.write(60)
        sealed(base, NOW + number * 16 * 3_600 * SECOND, epoch_seconds=86_400)
    assert not (base / "keys/1.key").exists()
    size = size_of(base)
    found = checkpoint.parse(kept_of(base, size).decode().split("\n\n")[0] + "\n")
    (base / "keys/1.key").write_bytes(old)
    os.chmod(base / "keys/1.key", 0o600)
    signed = checkpoint.sign(found, Keys(base / "keys", ORIGIN, Files()).private(1))
    (base / "log" / checkpoint.place(size)).write_bytes(signed)
    (base / "log/checkpoint").write_bytes(signed)
    assert verify(base, keys_of(base)[:1]).code == Kind.WRONG_EPOCH.code


def test_a_record_that_names_a_key_is_not_believed_without_the_signature_of_the_one_before(there: Path) -> None:
    """Somebody without the key appends a rotation to a key of theirs, and signs the rest with that."""
    keys = keys_of(there)
    theirs = Keys(there.parent / "theirs", ORIGIN, Files())
    new = theirs.make(1)
    head = '{"stream":"%s/sealer/1","seq":1,"prev":"%s","v":1,"kind":"key.rotate","vkey":"%s","before":"%s"}'
    forged = (head % (ORIGIN, "00" * 32, new, keys[0])).encode()
    rewritten(there, lambda entries: [*entries, forged])
    edge = Edge()
    edge.grow([record for _, record in records(there / "log", 621)])
    signed = checkpoint.sign(checkpoint.Checkpoint(ORIGIN, 621, edge.root()), theirs.private(1))
    Files().put(there / "log" / checkpoint.place(621), signed)
    (there / "log/checkpoint").write_bytes(signed)
    assert verify(there, keys).code == Kind.FOREIGN_KEY.code


# ------------------------------------------------------------------------------------------------- a log that is in use


def test_a_sealer_that_was_interrupted_before_it_signed_is_no_finding(there: Path) -> None:

    class Stop(BaseException):
        pass

    class Stopping(Files):
        def put(self, path: Path, data: bytes) -> None:
            if path.name == "promise.json":
                raise Stop
            super().put(path, data)

    ours = sealer(there, files=Stopping())
    with pytest.raises(Stop):
        ours.step(NOW)
    ours.close()
    report = looked(there)
    assert (report.findings, report.size) == ([], 620)


def test_progress_is_told_and_a_log_that_grows_meanwhile_is_fine(there: Path) -> None:
    told: list[tuple[int, int]] = []

    def progress(done: int, size: int) -> None:
        if not told:
            sealed(there, NOW + 9 * SECOND)
        told.append((done, size))

    report = looked(there, progress=progress)
    assert (report.findings, report.size) == ([], 620)
    assert told == [(256, 620), (512, 620), (620, 620)]
    assert looked(there).size == 625


def test_a_gap_after_damage_in_the_write_ahead_log_stays_a_finding(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for _ in range(4):
        writer.write(1)
    data = bytearray(writer.file.read_bytes())
    data[data.index(b'"seq":2')] ^= 1
    writer.file.write_bytes(data)

    ours = sealer(tmp_path)
    for _ in range(3):
        ours.step(NOW)
    ours.close()
    report = looked(tmp_path)
    assert report.code == Kind.DROPPED.code
    assert "number 2 of" in str(report.findings[0])


@pytest.mark.parametrize("tamper", [entry_flipped, tile_flipped, record_changed_and_tiles_with_it, record_dropped])
@pytest.mark.parametrize("size", [320, 540, 620])
def test_a_checkpoint_from_elsewhere_does_not_make_a_fork_of_a_change(
    there: Path, tamper: Callable[[Path], None], size: int
) -> None:
    earlier = kept_of(there, size)
    tamper(there)
    report = looked(there, earlier=[earlier])
    assert report.code == CORPUS[tamper].code, [str(each) for each in report.findings]
    assert Kind.FORKED not in {each.kind for each in report.findings}


@pytest.mark.parametrize("tamper", [entry_flipped, tile_flipped, record_dropped, records_swapped])
def test_a_change_of_sealed_files_is_not_blamed_on_the_state(there: Path, tamper: Callable[[Path], None]) -> None:
    tamper(there)
    assert {each.kind for each in looked(there).findings} == {CORPUS[tamper]}
