"""A change is taken whole or not at all. Time is the caller's, so nothing here sleeps."""

import os
from hashlib import sha256
from pathlib import Path

import pytest

from pdp.serve.watch import Unreadable, Watcher, scan

NOW = 1.0  # long before any file here was written: what is from the future has rested


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    directory = tmp_path / "policies"
    (directory / "data").mkdir(parents=True)
    (directory / "a.ward").write_text("permit")
    (directory / "data/x.json").write_text("[]")
    return directory


def settled(directory: Path) -> Watcher:
    """A watcher that has taken what is there."""
    watcher = Watcher(directory)
    assert watcher.look(NOW) is None
    seen = watcher.look(NOW)
    assert seen is not None
    assert watcher.still(seen)
    watcher.tried(seen)
    assert watcher.look(NOW) is None
    return watcher


def test_a_change_is_taken_when_two_scans_agree(policies: Path) -> None:
    watcher = settled(policies)
    (policies / "b.ward").write_text("forbid")
    assert watcher.look(NOW) is None
    assert watcher.look(NOW) is not None


def test_a_copy_in_progress_is_not_taken(policies: Path) -> None:
    watcher = settled(policies)
    for number in range(5):
        (policies / f"new-{number}.ward").write_text("permit")
        assert watcher.look(NOW) is None
    assert watcher.look(NOW) is not None


def test_a_change_while_reading_is_thrown_away(policies: Path) -> None:
    watcher = settled(policies)
    (policies / "b.ward").write_text("forbid")
    watcher.look(NOW)
    seen = watcher.look(NOW)
    assert seen is not None
    (policies / "c.ward").write_text("permit")
    assert not watcher.still(seen)


@pytest.mark.parametrize("change", ["content", "same size and time", "removed", "renamed", "sub-directory", "data"])
def test_every_kind_of_change_is_seen(policies: Path, change: str) -> None:
    watcher = settled(policies)
    file = policies / "a.ward"
    if change == "content":
        file.write_text("forbid it")
    elif change == "same size and time":
        before = file.stat()
        file.write_text("forbid")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "removed":
        file.unlink()
    elif change == "renamed":
        file.rename(policies / "b.ward")
    elif change == "sub-directory":
        (policies / "more/deeper").mkdir(parents=True)
        (policies / "more/deeper/c.ward").write_text("permit")
    else:
        (policies / "data/x.json").write_text("[1]")
    watcher.look(NOW)
    assert watcher.look(NOW) is not None


def test_touching_a_file_changes_nothing(policies: Path) -> None:
    watcher = settled(policies)
    os.utime(policies / "a.ward", ns=(1, 1))
    assert [watcher.look(NOW) for _ in range(3)] == [None, None, None]


def test_a_symlink_swap_is_taken(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.ward").write_text(name)
    current = tmp_path / "current"
    current.symlink_to("one")
    watcher = settled(current)
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", current)
    assert watcher.look(NOW) is None
    assert watcher.look(NOW) is not None


def test_a_symlink_swap_inside_as_orchestrators_do_it_is_taken(tmp_path: Path) -> None:
    for name in ("..1", "..2"):
        (tmp_path / "mount" / name).mkdir(parents=True)
        (tmp_path / "mount" / name / "a.ward").write_text(name)
    (tmp_path / "mount/..data").symlink_to("..1")
    (tmp_path / "mount/a.ward").symlink_to("..data/a.ward")
    watcher = settled(tmp_path / "mount")
    (tmp_path / "mount/..next").symlink_to("..2")
    os.replace(tmp_path / "mount/..next", tmp_path / "mount/..data")
    watcher.look(NOW)
    assert watcher.look(NOW) is not None


def test_a_link_back_up_does_not_loop(policies: Path) -> None:
    (policies / "data/up").symlink_to(policies)
    assert [name for name, _ in scan(policies).content] == ["a.ward", "data/x.json"]


def test_what_was_tried_is_not_tried_again_until_it_changes(policies: Path) -> None:
    watcher = settled(policies)
    assert watcher.look(NOW) is None
    assert watcher.look(NOW, force=True) is not None


def test_a_directory_that_is_gone_is_unreadable_and_comes_back(policies: Path) -> None:
    watcher = settled(policies)
    policies.rename(policies.parent / "away")
    with pytest.raises(Unreadable):
        watcher.look(NOW)
    (policies.parent / "away").rename(policies)
    (policies / "b.ward").write_text("forbid")
    assert watcher.look(NOW) is None
    assert watcher.look(NOW) is not None


def manifest(directory: Path, *names: str) -> str:
    return "".join(f"{sha256((directory / name).read_bytes()).hexdigest()}  {name}\n" for name in names)


def test_a_manifest_holds_back_a_copy_that_stands_still_half_way(policies: Path) -> None:
    (policies / "forbid.ward").write_text("forbid")
    whole = manifest(policies, "a.ward", "data/x.json", "forbid.ward")
    (policies / "forbid.ward").unlink()
    (policies / "MANIFEST").write_text(whole)
    watcher = Watcher(policies)
    watcher.look(NOW)
    with pytest.raises(Unreadable, match=r"forbid\.ward"):
        watcher.look(NOW)
    (policies / "forbid.ward").write_text("forbid")
    watcher.look(NOW)
    assert watcher.look(NOW) is not None


@pytest.mark.parametrize("text", ["", "x  a.ward\n", "not a manifest"])
def test_a_manifest_that_names_anything_else_takes_nothing(policies: Path, text: str) -> None:
    (policies / "MANIFEST").write_text(text)
    watcher = Watcher(policies)
    watcher.look(NOW)
    with pytest.raises(Unreadable):
        watcher.look(NOW)


def test_what_was_written_in_place_has_to_rest(policies: Path) -> None:
    written = scan(policies).youngest
    watcher = Watcher(policies, settle_seconds=2.0)
    assert watcher.look(written + 0.1) is None
    assert watcher.look(written + 1.9) is None
    assert watcher.look(written + 2.0) is not None


def test_removing_a_file_starts_the_rest_anew(policies: Path) -> None:
    watcher = Watcher(policies, settle_seconds=2.0)
    before = scan(policies).youngest
    os.utime(policies / "a.ward", ns=(1, 1))
    (policies / "data/x.json").unlink()
    assert scan(policies).youngest >= before
    watcher.look(scan(policies).youngest + 1.0)
    assert watcher.look(scan(policies).youngest + 1.0) is None


def test_a_forced_look_needs_no_rest_and_no_earlier_one(policies: Path) -> None:
    watcher = Watcher(policies, settle_seconds=600.0)
    assert watcher.look(scan(policies).youngest, force=True) is not None


def test_what_is_held_waits_until_then_or_until_it_changes(policies: Path) -> None:
    watcher = Watcher(policies)
    watcher.look(NOW)
    seen = watcher.look(NOW)
    assert seen is not None
    watcher.hold(seen, NOW + 10)
    assert watcher.look(NOW + 9) is None
    assert watcher.look(NOW + 10) is not None
    (policies / "b.ward").write_text("forbid")
    watcher.look(NOW + 9)
    assert watcher.look(NOW + 9) is not None
