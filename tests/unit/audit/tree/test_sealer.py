"""What is on disk is sealed once, in order and for good, whatever happens in between."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.checking.verify import verify
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.tree import checkpoint, merkle, state
from pdp.audit.tree.keys import Keys, published
from pdp.audit.tree.note import vkey
from pdp.audit.tree.sealer import Sealer
from pdp.audit.tree.tiles import records
from tests.unit.audit.hosts import NOW, ORIGIN, SECOND, Writer, sealed, sealer

DAY = 86_400 * SECOND


def log_of(directory: Path) -> list[bytes]:
    """All that is sealed, in order, under a checkpoint that the published keys verify."""
    found = checkpoint.read((directory / "log/checkpoint").read_bytes(), published(directory / "keys")).checkpoint
    entries = [data for _, data in records(directory / "log", found.size)]
    frontier = merkle.Frontier()
    for each in entries:
        frontier.append(merkle.leaf(each))
    assert found.root == frontier.root()
    return entries


def everything(directory: Path, below: tuple[str, ...] = ("log", "state")) -> dict[str, bytes]:
    found = [each for name in below for each in (directory / name).rglob("*") if each.is_file()]
    return {str(each.relative_to(directory)): each.read_bytes() for each in found if each.name != state.LOCK}


def test_a_log_that_never_was_begins_with_a_signed_empty_tree_and_a_key_of_its_own(tmp_path: Path) -> None:
    assert sealed(tmp_path).size == 0
    assert log_of(tmp_path) == []
    assert (tmp_path / "keys/1.key").stat().st_mode & 0o777 == 0o600
    assert vkey((tmp_path / "keys/1.vkey").read_text()).name == ORIGIN


def test_records_of_every_slot_are_appended_unchanged_and_in_the_order_of_their_stream(tmp_path: Path) -> None:
    one, two = Writer(tmp_path, 0), Writer(tmp_path, 1)
    first = one.write(3) + two.write(2)
    assert sealed(tmp_path).records == 5
    second = one.write(1) + two.write(4)
    assert sealed(tmp_path).records == 5
    assert log_of(tmp_path) == first + second
    assert list(checkpoint.kept(tmp_path / "log")) == [0, 5, 10]


def test_nothing_new_signs_nothing(tmp_path: Path) -> None:
    Writer(tmp_path).write(3)
    sealed(tmp_path)
    before = everything(tmp_path)
    assert sealed(tmp_path, NOW + SECOND).records == 0
    assert everything(tmp_path) == before


def test_many_records_are_sealed_in_several_steps_and_no_slot_waits_for_another(tmp_path: Path) -> None:
    one, two = Writer(tmp_path, 0), Writer(tmp_path, 1)
    one.write(700)
    two.write(5)
    ours = sealer(tmp_path, max_records=100)
    found = ours.step(NOW)
    assert (found.records, found.more) == (55, True)
    while ours.step(NOW).more:
        pass
    assert len(log_of(tmp_path)) == 705


def test_a_slot_goes_on_in_its_next_segment_and_after_a_new_start_and_read_segments_are_deleted(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    written = writer.write(3)
    sealed(tmp_path)
    writer.next_segment()
    written += writer.write(3)
    writer.next_segment(boot=2)
    written += writer.write(3)
    sealed(tmp_path)
    assert log_of(tmp_path) == written
    assert [each.name for each in (tmp_path / "wal/0").glob("seg-*")] == ["seg-00000003.wal"]


def test_partial_tiles_go_once_their_whole_tile_is_published(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for number in (100, 100, 100):
        writer.write(number)
        sealed(tmp_path)
    assert sorted(str(each.relative_to(tmp_path / "log/tile")) for each in (tmp_path / "log/tile").rglob("*.p")) == [
        "0/001.p",
        "1/000.p",
        "entries/001.p",
    ]
    assert len(log_of(tmp_path)) == 300


def test_a_second_sealer_is_kept_away_and_takes_over_when_the_first_is_gone(tmp_path: Path) -> None:
    first = sealer(tmp_path)
    with pytest.raises(EvidenceError, match="another sealer"):
        sealer(tmp_path)
    first.close()
    with pytest.raises(EvidenceError):
        first.step(NOW)
    sealed(tmp_path)


# ------------------------------------------------------------------------------------------------------------- crashes


class Crash(BaseException):
    """The process is gone."""


class Crashing(Files):
    """Ends at the call with this number, before it, or, where it writes, in the middle of it.

    What was not synced is lost with the power: content becomes garbage, names become what they were. Nothing is really
    synced, which would take minutes.
    """

    def __init__(self, at: int, power: bool) -> None:
        self.left = at
        self.power = power
        self.calls = 0
        self._undo: dict[Path, list[tuple[Path, bytes | None]]] = {}
        self._opened: dict[int, Path] = {}
        self._unsynced: set[Path] = set()

    def _tick(self, path: Path | None = None, data: bytes = b"") -> None:
        self.calls += 1
        if self.calls != self.left:
            return
        if path is not None:
            path.write_bytes(data[: len(data) // 2])
        if self.power:
            self.lose()
        raise Crash

    def lose(self) -> None:
        for path in self._unsynced:
            if path.exists():
                path.write_bytes(b"\xff garbage")
        for undo in self._undo.values():
            for path, content in reversed(undo):
                if content is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                elif path.is_dir():
                    shutil.rmtree(path)
                elif path.exists():
                    path.unlink()

    def _remember(self, path: Path) -> None:
        content = path.read_bytes() if path.is_file() else None
        self._undo.setdefault(path.parent, []).append((path, content))

    def open(self, path: Path, flags: int) -> int:
        self._tick()
        file = super().open(path, flags)
        if flags & os.O_CREAT:
            self._opened[file] = path
            self._unsynced.add(path)
        return file

    def pwrite(self, file: int, data: bytes, offset: int) -> int:
        self._tick(self._opened[file], data)
        return super().pwrite(file, data, offset)

    def fsync(self, file: int) -> None:
        self._tick()
        self._unsynced.discard(self._opened[file])

    def close(self, file: int) -> None:
        self._tick()
        super().close(file)

    def rename(self, old: Path, new: Path) -> None:
        self._tick()
        self._remember(new)
        if old in self._unsynced:
            self._unsynced.remove(old)
            self._unsynced.add(new)
        super().rename(old, new)

    def unlink(self, path: Path) -> None:
        self._tick()
        self._remember(path)
        super().unlink(path)

    def mkdir(self, path: Path) -> None:
        self._tick()
        self._undo.setdefault(path.parent, []).append((path, None))
        super().mkdir(path)

    def sync_directory(self, path: Path) -> None:
        self._tick()
        self._undo.pop(path, None)


def story(directory: Path, files: Files | None = None, rounds: int = 3) -> None:
    """Two writers, sizes that cross the boundary of a tile, a segment that ends, and a key that another one follows."""
    for number in range(rounds):
        shutil.copytree(directory.parent / f"rounds/{number}/wal", directory / "wal", dirs_exist_ok=True)
        ours = sealer(directory, files=files or Files(), epoch_seconds=86_400)
        try:
            while ours.step(NOW + number * 16 * 3_600 * SECOND).more:
                pass
        finally:
            ours.close()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The write-ahead logs of three rounds, and under `whole` what sealing them without a crash gives."""
    base = tmp_path_factory.mktemp("told")
    writers = [Writer(base / "now", slot) for slot in (0, 1)]
    for number, (one, two) in enumerate(((130, 60), (70, 10), (250, 30))):
        writers[0].write(one)
        writers[1].write(two)
        if number == 1:
            writers[0].next_segment()
            writers[0].write(5)
        shutil.copytree(base / "now/wal", base / f"rounds/{number}/wal")
    keys = base / "whole/keys"
    for epoch in (1, 2):
        Keys(keys, ORIGIN, Files()).make(epoch)
    shutil.copytree(keys, base / "keys")
    story(base / "whole")
    return base


def resealed(told: Path, directory: Path, at: int, power: bool) -> bool:
    """Crash at this call, then let another sealer finish. False: there was no such call any more."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(told / "keys", directory / "keys")
    os.symlink(told / "rounds", directory.parent / "rounds") if not (directory.parent / "rounds").exists() else None
    files = Crashing(at, power)
    try:
        story(directory, files)
        return False
    except Crash:
        _what_is_published_is_kept_and_whole(directory)
    story(directory, Crashing(0, False))
    return True


@pytest.mark.parametrize("power", [False, True], ids=["process", "power"])
def test_a_crash_at_any_call_changes_nothing_in_the_end(told: Path, tmp_path: Path, power: bool) -> None:
    whole = log_of(told / "whole")
    at = 1
    while resealed(told, tmp_path / "host", at, power):
        found = log_of(tmp_path / "host")
        assert sorted(found) == sorted(whole), f"a crash at call {at}"
        _in_order(found)
        _keys_as_they_should(tmp_path / "host")
        at += 1
    assert at > 100


def _what_is_published_is_kept_and_whole(directory: Path) -> None:
    """At every instant: whoever reads the log now can verify all that it publishes."""
    path = directory / "log/checkpoint"
    if path.exists():
        log_of(directory)
        size = checkpoint.read(path.read_bytes(), published(directory / "keys")).checkpoint.size
        assert (directory / "log" / checkpoint.place(size)).read_bytes() == path.read_bytes()
        assert (checkpoint.last(directory / "log") or 0) >= size


def _in_order(entries: list[bytes]) -> None:
    for slot in ("0/", "1/", "sealer/"):
        lane = [each for each in entries if each.startswith(b'{"stream":"%s/%s' % (ORIGIN.encode(), slot.encode()))]
        numbers = [int(each.split(b'"seq":')[1].split(b",")[0]) for each in lane]
        assert numbers == list(range(1, len(lane) + 1))


def _keys_as_they_should(directory: Path) -> None:
    assert sorted(each.name for each in (directory / "keys").glob("*.key")) == ["2.key"]
    assert not list((directory / "log").rglob("*.p/*.tmp"))


def test_the_same_crash_twice_and_the_same_bytes_without_one(told: Path, tmp_path: Path) -> None:
    shutil.copytree(told / "keys", tmp_path / "host/keys")
    os.symlink(told / "rounds", tmp_path / "rounds")
    story(tmp_path / "host")
    assert everything(tmp_path / "host") == everything(told / "whole")


def failing(number: int) -> Files:
    class Failing(Files):
        calls = 0

        def fsync(self, file: int) -> None:
            self.calls += 1
            if self.calls == number:
                raise OSError(5, "Input/output error")
            super().fsync(file)

    return Failing()


@pytest.mark.parametrize("number", range(1, 30, 2))
def test_an_error_of_the_disk_is_said_and_the_same_sealer_goes_on_afterwards(tmp_path: Path, number: int) -> None:
    written = Writer(tmp_path).write(300)
    sealer(tmp_path).close()
    ours = sealer(tmp_path, files=failing(number))
    with pytest.raises(EvidenceError, match="Input/output error"):
        ours.step(NOW)
    ours.step(NOW)
    ours.close()
    assert log_of(tmp_path) == written


# ----------------------------------------------------------------------------------------------------- what is refused


def copied(directory: Path, name: str) -> Path:
    shutil.copytree(directory / "host", directory / name)
    return directory / name


def host(directory: Path) -> Writer:
    writer = Writer(directory / "host")
    writer.write(10)
    sealed(directory / "host")
    return writer


def refused(directory: Path, match: str, **more: Any) -> None:
    before = everything(directory, ("log",))
    with pytest.raises(EvidenceError, match=match):
        sealed(directory, **more)
    assert everything(directory, ("log",)) == before


def test_a_log_that_was_set_back_is_not_signed_again_where_the_keys_are_elsewhere(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "host")
    writer.write(10)
    sealed(tmp_path / "host", keys=tmp_path / "keys")
    copied(tmp_path, "before")
    writer.write(10)
    sealed(tmp_path / "host", keys=tmp_path / "keys")
    refused(tmp_path / "before", "was set back", keys=tmp_path / "keys")


def test_a_state_that_was_set_back_is_refused(tmp_path: Path) -> None:
    writer = host(tmp_path)
    before = (tmp_path / "host/state/tree.json").read_bytes()
    writer.write(10)
    sealed(tmp_path / "host")
    (tmp_path / "host/state/tree.json").write_bytes(before)
    refused(tmp_path / "host", "was set back")


def test_a_state_that_is_gone_is_not_begun_anew(tmp_path: Path) -> None:
    host(tmp_path)
    (tmp_path / "host/state/tree.json").unlink()
    refused(tmp_path / "host", "is gone")


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"v":2}', b"\xff"])
def test_a_state_that_cannot_be_read_is_refused(tmp_path: Path, text: bytes) -> None:
    host(tmp_path)
    (tmp_path / "host/state/tree.json").write_bytes(text)
    refused(tmp_path / "host", "damaged")


def test_tiles_that_are_not_those_of_the_state_are_refused(tmp_path: Path) -> None:
    host(tmp_path)
    for name in ("tile/entries/000.p/10", "tile/0/000.p/10"):
        there = copied(tmp_path, name.replace("/", "-"))
        data = bytearray((there / "log" / name).read_bytes())
        data[-1] ^= 1
        (there / "log" / name).write_bytes(data)
        refused(there, "do not belong together")


def test_a_checkpoint_of_another_tree_in_the_archive_stops_the_sealer(tmp_path: Path) -> None:
    writer = host(tmp_path)
    key = Keys(tmp_path / "host/keys", ORIGIN, Files()).private(1)
    for size, match in ((9, ""), (10, "contradicts"), (11, "was set back")):
        there = copied(tmp_path, f"fork-{size}")
        forked = checkpoint.sign(checkpoint.Checkpoint(ORIGIN, size, bytes(32)), key)
        (there / "log" / checkpoint.place(size)).write_bytes(forked)
        if match:
            refused(there, match)
    (tmp_path / "host/log" / checkpoint.place(10)).write_bytes(b"no note")
    writer.write(1)
    refused(tmp_path / "host", "not ours")


def test_checkpoints_that_are_gone_are_missed(tmp_path: Path) -> None:
    writer = host(tmp_path)
    writer.write(1)
    shutil.rmtree(tmp_path / "host/log/checkpoints")
    refused(tmp_path / "host", "none is kept")


def test_a_published_checkpoint_that_is_gone_is_published_again(tmp_path: Path) -> None:
    host(tmp_path)
    (tmp_path / "host/log/checkpoint").unlink()
    sealed(tmp_path / "host")
    assert len(log_of(tmp_path / "host")) == 10


def test_a_key_that_is_gone_or_open_to_others_signs_nothing(tmp_path: Path) -> None:
    writer = host(tmp_path)
    writer.write(1)
    os.chmod(tmp_path / "host/keys/1.key", 0o640)
    with pytest.raises(EvidenceError, match="open to others"):
        sealed(tmp_path / "host")
    (tmp_path / "host/keys/1.key").unlink()
    with pytest.raises(EvidenceError, match="cannot be read"):
        sealed(tmp_path / "host")
    assert list(checkpoint.kept(tmp_path / "host/log")) == [0, 10]


def test_a_log_of_another_name_is_refused(tmp_path: Path) -> None:
    host(tmp_path)
    with pytest.raises(EvidenceError, match="the log is the one of"):
        Sealer(tmp_path / "host", "another").step(NOW)
    with pytest.raises(EvidenceError, match="name"):
        Sealer(tmp_path / "host", "two words")


@pytest.mark.parametrize("change", ["seq", "prev", "slot", "sealer"])
def test_a_record_that_says_it_is_another_one_is_not_sealed_and_the_other_slots_are(
    tmp_path: Path, change: str
) -> None:
    one, two = Writer(tmp_path, 0), Writer(tmp_path, 1)
    good = one.write(2)
    forged = {
        "seq": one.payload().replace(b'"seq":3', b'"seq":4'),
        "prev": one.payload().replace(one.chain.hex().encode(), bytes(32).hex().encode()),
        "slot": one.payload().replace(b"/0/", b"/1/"),
        "sealer": one.payload().replace(b"/0/", b"/sealer/"),
    }[change]
    one.write_these([forged])
    good += two.write(2)
    found = sealed(tmp_path)
    assert "says it is another one" in found.alarms[0]
    assert log_of(tmp_path) == good


# --------------------------------------------------------------------------------------------------------------- damage


def test_damage_is_gone_past_with_a_record_that_says_so_and_only_when_it_stays(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    first = writer.write(2)
    damaged = writer.offset
    writer.write(1)
    after = writer.write(2)
    with writer.file.open("r+b") as file:
        os.pwrite(file.fileno(), b"\xff" * 8, damaged + 60)
    ours = sealer(tmp_path)
    found = ours.step(NOW)
    assert (found.records, len(found.alarms)) == (2, 1)
    while ours.step(NOW).more:
        pass
    ours.close()
    entries = log_of(tmp_path)
    assert (entries[:2], entries[3:]) == (first, after)
    assert b'"event":"corruption"' in entries[2]
    assert b'/sealer/1","seq":1' in entries[2]


def test_a_slot_that_is_gone_is_said(tmp_path: Path) -> None:
    Writer(tmp_path).write(2)
    sealed(tmp_path)
    shutil.rmtree(tmp_path / "wal/0")
    assert sealed(tmp_path).alarms == ("slot 0 is gone",)


# ----------------------------------------------------------------------------------------------------------------- keys


def test_the_last_record_of_an_epoch_names_the_next_key_and_the_old_one_is_destroyed(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.write(2)
    sealed(tmp_path, epoch_seconds=86_400)
    writer.write(2)
    found = sealed(tmp_path, NOW + DAY, epoch_seconds=86_400)
    assert (found.epoch, found.size) == (2, 5)
    writer.write(2)
    sealed(tmp_path, NOW + DAY + SECOND, epoch_seconds=86_400)
    one, two = published(tmp_path / "keys")
    last = log_of(tmp_path)[4]
    assert f'"vkey":"{two}","before":"{one}"'.encode() in last
    assert [each.name for each in (tmp_path / "keys").glob("*.key")] == ["2.key"]
    signers = {
        size: checkpoint.read((tmp_path / "log" / checkpoint.place(size)).read_bytes(), [one, two]).signers
        for size in checkpoint.kept(tmp_path / "log")
    }
    assert signers == {0: (one,), 2: (one,), 5: (one,), 7: (two,)}


def test_a_key_can_be_followed_at_once(tmp_path: Path) -> None:
    Writer(tmp_path).write(2)
    ours = sealer(tmp_path)
    assert ours.step(NOW, rotate=True).epoch == 2
    ours.close()


def test_keys_that_are_elsewhere_leave_only_the_public_ones_beside_the_log(tmp_path: Path) -> None:
    directory, keys = tmp_path / "audit", tmp_path / "keys"
    Writer(directory).write(3)
    ours = sealer(directory, keys=keys)
    ours.step(NOW)
    ours.step(NOW, rotate=True)
    ours.close()
    assert sorted(each.name for each in (directory / "keys").iterdir()) == ["1.vkey", "2.vkey"]
    assert {each.name for each in keys.iterdir()} == {"1.vkey", "2.key", "2.vkey", "promise.json"}
    assert verify(directory, published(directory / "keys"), keys=keys).findings == []
    Writer(directory, 1).write(3)
    shutil.copytree(directory, tmp_path / "before")
    sealed(directory, NOW + SECOND, keys=keys)
    (finding,) = verify(tmp_path / "before", published(keys), keys=keys).findings
    assert finding.kind.word == "set-back"
