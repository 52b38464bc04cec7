"""The way to a target: nothing is skipped, nothing is forgotten, and what does not fit together is an alarm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.ship import cursor, floor
from pdp.audit.ship.feed import MOST_ITEMS, checkpoints_above, full_between
from pdp.audit.tree import checkpoint, tiles
from tests.unit.audit.ship.takers import FILES, MICRO, Host, Taker, lane


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "audit")


def everything(directory: Path) -> list[bytes]:
    size = checkpoint.last(directory / "log") or 0
    return [payload for _, payload in tiles.records(directory / "log", size)]


def test_every_record_arrives_once_in_order_unchanged_and_keyed(host: Host) -> None:
    host.grow(1_300)
    taker = Taker()
    ours = lane(host.directory, taker)
    ours.step(MICRO)
    host.grow(1)
    ours.step(MICRO)
    assert [each.body for each in taker.items] == everything(host.directory)
    assert len(set(taker.keys)) == 1_301
    first = json.loads(taker.items[0].body)
    assert taker.items[0].key == f"{first['stream']}:{first['seq']}"
    assert (ours.told.next, ours.told.sent, ours.told.failures) == (1_301, 1_301, 0)
    ours.close()


def test_after_an_end_at_any_batch_it_goes_on_where_the_target_had_confirmed(host: Host) -> None:
    host.grow(MOST_ITEMS * 3 + 5)
    taker = Taker()
    left = [1]
    ours = lane(host.directory, taker)
    ours.step(MICRO, lambda: bool(left.pop()) if left else False)
    ours.close()
    assert len(taker.items) == MOST_ITEMS * 2
    ours = lane(host.directory, taker)
    ours.step(MICRO)
    ours.close()
    assert [each.body for each in taker.items] == everything(host.directory)


def test_what_was_not_confirmed_is_sent_again_and_the_pause_doubles_up_to_a_minute(host: Host) -> None:
    host.grow(MOST_ITEMS * 2)
    taker = Taker()
    taker.fail = lambda number: number < 9
    taker.lose = lambda number: number == 9
    ours = lane(host.directory, taker)
    assert [ours.step(MICRO) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert (ours.told.failures, ours.told.problem) == (8, "it does not answer")
    assert ours.step(MICRO) == 60
    assert ours.step(MICRO) == 1
    assert ours.told.problem == ""
    assert [each.body for each in taker.items[MOST_ITEMS:]] == everything(host.directory)  # The first batch twice.
    assert ours.told.next == MOST_ITEMS * 2
    ours.close()


def test_a_second_shipper_is_kept_away(host: Host) -> None:
    host.grow(3)
    ours = lane(host.directory, Taker())
    assert cursor.held(host.directory, "there")
    with pytest.raises(EvidenceError, match="another process"):
        lane(host.directory, Taker())
    ours.close()
    assert not cursor.held(host.directory, "there")
    lane(host.directory, Taker()).close()


@pytest.mark.parametrize("feed", ["records", FILES])
def test_a_log_that_was_set_back_is_an_alarm_and_nothing_is_sent(host: Host, tmp_path: Path, feed: str) -> None:
    host.grow(20)
    taker = Taker()
    ours = lane(host.directory, taker, feed)
    ours.step(MICRO)
    sent = len(taker.items)
    shorter = Host(tmp_path / "shorter")
    shorter.grow(10)
    (host.directory / "log").rename(tmp_path / "away")
    (shorter.directory / "log").rename(host.directory / "log")
    for again in (False, True):
        ours.step(MICRO)
        assert (ours.told.problem, ours.told.alarm) == (
            "the log has 10 records, and 20 were shipped: it was set back",
            True,
        )
        assert len(taker.items) == sent
        if not again:
            ours.close()
            ours = lane(host.directory, taker, feed)
    ours.close()


def test_another_log_of_the_same_name_is_an_alarm(host: Host, tmp_path: Path) -> None:
    host.grow(20)
    taker = Taker()
    ours = lane(host.directory, taker)
    ours.step(MICRO)
    ours.close()
    other = Host(tmp_path / "other")
    other._writer.boot = b"\x07" * 16
    other._writer.next_segment(boot=7)
    other.grow(30)
    (host.directory / "log").rename(tmp_path / "away")
    (other.directory / "log").rename(host.directory / "log")
    ours = lane(host.directory, taker)
    ours.step(MICRO)
    assert ours.told.alarm
    assert "the log is another one" in ours.told.problem
    assert len(taker.items) == 20
    ours.close()


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", "null", '{"v":1}', '{"v":2}', "9" * 5_000, "[" * 100_000],
)
def test_a_damaged_cursor_is_an_alarm_and_never_taken_for_nothing_shipped(host: Host, damage: str) -> None:
    host.grow(20)
    taker = Taker()
    ours = lane(host.directory, taker)
    ours.step(MICRO)
    ours.close()
    cursor.path(host.directory, "there").write_text(damage)
    ours = lane(host.directory, taker)
    ours.step(MICRO)
    assert ours.told.alarm
    assert "is damaged" in ours.told.problem
    assert len(taker.items) == 20
    assert floor(host.directory) == 0  # Nothing may be pruned by what it says.
    ours.close()


@pytest.mark.parametrize(
    ("member", "value"),
    [("next", -1), ("next", True), ("next", 20.0), ("last", "zz"), ("last", ""), ("feed", "x"), ("at", None)],
)
def test_a_cursor_with_one_wrong_member_is_damaged(host: Host, member: str, value: object) -> None:
    host.grow(20)
    ours = lane(host.directory, Taker())
    ours.step(MICRO)
    ours.close()
    where = cursor.path(host.directory, "there")
    where.write_text(json.dumps(json.loads(where.read_text()) | {member: value}))
    with pytest.raises(EvidenceError, match="damaged"):
        cursor.read(host.directory, "there")


def test_an_older_cursor_sends_again_and_loses_nothing(host: Host) -> None:
    host.grow(20)
    taker = Taker()
    ours = lane(host.directory, taker)
    ours.step(MICRO)
    old = cursor.path(host.directory, "there").read_bytes()
    host.grow(20)
    ours.step(MICRO)
    ours.close()
    cursor.path(host.directory, "there").write_bytes(old)
    ours = lane(host.directory, taker)
    ours.step(MICRO)
    ours.close()
    assert len(taker.items) == 60
    assert list(dict.fromkeys(each.body for each in taker.items)) == everything(host.directory)


@pytest.mark.parametrize("more", [{"origin": "pdp.example/host-2"}, {"place": "elsewhere"}])
def test_the_cursor_of_another_log_or_of_another_place_is_not_gone_on_with(host: Host, more: dict[str, str]) -> None:
    host.grow(20)
    ours = lane(host.directory, Taker())
    ours.step(MICRO)
    ours.close()
    taker = Taker()
    ours = lane(host.directory, taker, **more)
    ours.step(MICRO)
    assert ours.told.alarm
    assert "is that of another" in ours.told.problem
    assert taker.items == []
    ours.close()


class Full(Files):
    """A disk that takes nothing while `full`."""

    full = False

    def pwrite(self, file: int, data: bytes, offset: int) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().pwrite(file, data, offset)


def test_a_full_disk_sends_nothing_twice_while_it_lasts(host: Host) -> None:
    host.grow(MOST_ITEMS * 2)
    taker, files = Taker(), Full()
    ours = lane(host.directory, taker, files=files)
    ours._begun()
    ours._note(ours._at)  # type: ignore[arg-type]
    files.full = True
    for _ in range(3):
        ours.step(MICRO)
        assert ours.told.problem == "the cursor cannot be written: No space left on device"
    assert len(taker.items) == MOST_ITEMS
    assert floor(host.directory) == 0
    files.full = False
    ours.step(MICRO)
    assert len(taker.items) == MOST_ITEMS * 2
    assert floor(host.directory) == MOST_ITEMS * 2
    ours.close()


def test_files_are_what_never_changes_again_and_a_checkpoint_follows_what_it_covers(host: Host) -> None:
    sizes = [host.grow(each) for each in (100, 200, 300, 1_000)]
    taker = Taker()
    ours = lane(host.directory, taker, FILES)
    ours.step(MICRO)
    kept = [checkpoint.place(each) for each in [0, *sizes]]
    assert [each for each in taker.keys if each.startswith("checkpoints")] == kept
    assert [each for each in taker.keys if each.startswith("tile")] == [
        name for before, size in zip([0, *sizes], sizes, strict=False) for name in full_between(before, size)
    ]
    assert all((host.directory / "log" / each.key).read_bytes() == each.body for each in taker.items)
    assert taker.keys.index("tile/0/005") < taker.keys.index(checkpoint.place(1_600))
    assert floor(host.directory) == 1_600 // 256 * 256
    ours.step(MICRO)
    assert len(taker.items) == len(set(taker.keys))
    ours.close()


def test_the_floor_is_the_lowest_of_all_and_zero_for_whoever_has_not_begun(host: Host) -> None:
    assert floor(host.directory) is None
    assert floor(host.directory, ["there"]) == 0
    assert floor(host.directory, []) is None
    host.grow(700)
    ours = lane(host.directory, Taker())
    ours.step(MICRO)
    ours.close()
    assert floor(host.directory) == 700
    assert floor(host.directory, ["there", "other"]) == 0
    assert floor(host.directory, []) is None


def test_checkpoints_are_found_from_any_size_on(host: Host) -> None:
    log = host.directory / "log"
    sizes = [0, 1, 5, 999, 1_000, 1_001, 999_999, 1_000_000, 1_234_567, 10**12]
    for size in sizes:
        path = log / checkpoint.place(size)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert list(checkpoints_above(log, -1)) == sizes
    for size in sizes:
        for at in (size - 1, size, size + 1):
            assert list(checkpoints_above(log, at)) == [each for each in sizes if each > at]
