"""c2sp.org/tlog-tiles: which files a size has, what is in them, and what an outside auditor says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.tree import merkle
from pdp.audit.tree.merkle import Frontier
from pdp.audit.tree.tiles import Edge, Tiles, place, records, threes, unpacked, width_at

SIZES = (0, 1, 2, 7, 8, 255, 256, 257, 65_535, 65_536, 65_537, 70_000)


def entries(first: int, last: int) -> list[bytes]:
    return [b"record %d" % each for each in range(first, last)]


def written(log: Path, size: int, steps: int = 1) -> Edge:
    """A log of this size on disk, sealed in so many steps."""
    edge = Edge()
    for step in range(steps):
        for name, data in edge.grow(entries(size * step // steps, size * (step + 1) // steps)).items():
            (log / name).parent.mkdir(parents=True, exist_ok=True)
            (log / name).write_bytes(data)
    return edge


def root_of(size: int) -> bytes:
    frontier = Frontier()
    for each in entries(0, size):
        frontier.append(merkle.leaf(each))
    return frontier.root()


def test_numbers_are_written_in_threes() -> None:
    assert threes(1_234_067) == "x001/x234/067"
    assert [threes(each) for each in (0, 67, 999, 1_000, 999_999)] == ["000", "067", "999", "x001/000", "x999/999"]
    assert place(0, 273, 112) == "tile/0/273.p/112"
    assert place("entries", 1_234_067) == "tile/entries/x001/x234/067"


def test_the_example_of_the_specification_has_its_tiles(tmp_path: Path) -> None:
    """70,000: 273 whole tiles and one of 112 at level 0, one whole and one of 17 above, one of width 1 on top."""
    written(tmp_path, 70_000)
    found = {str(each.relative_to(tmp_path / "tile")) for each in tmp_path.rglob("*") if each.is_file()}
    level0 = {f"0/{number:03d}" for number in range(273)} | {"0/273.p/112"}
    assert {each for each in found if each.startswith("0/")} == level0
    assert {each for each in found if each[0] in "12"} == {"1/000", "1/001.p/17", "2/000.p/1"}
    assert {each.removeprefix("entries/") for each in found if each.startswith("entries/")} == {
        each.removeprefix("0/") for each in level0
    }
    assert {(tmp_path / "tile" / each).stat().st_size for each in ("0/000", "0/272", "1/000")} == {8_192}


def test_a_tree_of_256_has_a_whole_tile_and_one_hash_above(tmp_path: Path) -> None:
    assert set(Edge().grow(entries(0, 256))) == {"tile/0/000", "tile/entries/000", "tile/1/000.p/1"}


@pytest.mark.parametrize("size", SIZES)
def test_edge_tiles_and_frontier_give_one_root(tmp_path: Path, size: int) -> None:
    edge = written(tmp_path, size)
    assert edge.root() == root_of(size) == merkle.root(size, Tiles(tmp_path, size).perfect)


@pytest.mark.parametrize("steps", [2, 3, 7, 300])
def test_how_often_was_sealed_does_not_matter(tmp_path: Path, steps: int) -> None:
    assert written(tmp_path, 70_000, steps).root() == root_of(70_000)
    assert [data for _, data in records(tmp_path, 70_000)] == entries(0, 70_000)


@pytest.mark.parametrize("size", SIZES)
def test_an_edge_that_was_read_again_grows_on_as_if_it_had_stayed(tmp_path: Path, size: int) -> None:
    stayed = written(tmp_path, size)
    read = Edge.read(tmp_path, size)
    assert read.root() == stayed.root()
    assert read.grow(entries(size, size + 600)) == stayed.grow(entries(size, size + 600))
    assert read.root() == root_of(size + 600)


@pytest.mark.parametrize("size", [1, 255, 257, 65_537])
def test_every_proof_from_tiles_is_accepted(tmp_path: Path, size: int) -> None:
    written(tmp_path, size)
    perfect = Tiles(tmp_path, size).perfect
    for index in {0, size // 3, size - 1}:
        path = merkle.inclusion(index, size, perfect)
        merkle.check_inclusion(merkle.leaf(b"record %d" % index), index, size, path, root_of(size))
    for old in {1, size // 2, size - 1} - {0}:
        merkle.check_consistency(old, size, root_of(old), root_of(size), merkle.consistency(old, size, perfect))


def test_records_of_every_length_that_the_format_has_come_back(tmp_path: Path) -> None:
    these = [b"", b"x", b"y" * 65_535]
    files = Edge().grow(these)
    assert unpacked(files["tile/entries/000.p/3"]) == these
    with pytest.raises(EvidenceError):
        Edge().grow([b"z" * 65_536])


@pytest.mark.parametrize("bundle", [b"\x00", b"\x00\x02a", b"\x00\x01ab\x00"])
def test_a_bundle_that_is_cut_short_is_no_bundle(bundle: bytes) -> None:
    with pytest.raises(EvidenceError):
        unpacked(bundle)


def test_an_edge_whose_files_do_not_fit_together_is_refused(tmp_path: Path) -> None:
    for damaged in ("tile/0/001.p/44", "tile/entries/001.p/44", "tile/1/000.p/1"):
        written(tmp_path, 300)
        data = (tmp_path / damaged).read_bytes()
        (tmp_path / damaged).write_bytes(data[:-1])
        with pytest.raises(EvidenceError):
            Edge.read(tmp_path, 300)
        (tmp_path / damaged).unlink()
        with pytest.raises(EvidenceError):
            Edge.read(tmp_path, 300)


def test_what_a_whole_tile_has_replaced_is_found_in_it(tmp_path: Path) -> None:
    written(tmp_path, 100)
    written(tmp_path, 256)
    for level in ("0", "entries"):
        (tmp_path / f"tile/{level}/000.p/100").unlink()
    assert merkle.root(100, Tiles(tmp_path, 100).perfect) == root_of(100)
    assert len(list(records(tmp_path, 100))) == 100


def test_width_at() -> None:
    assert [width_at(70_000, *each) for each in ((0, 272), (0, 273), (0, 274), (1, 1), (2, 0), (3, 0))] == [
        256,
        112,
        0,
        17,
        1,
        0,
    ]


def test_files_are_put_whole_and_private(tmp_path: Path) -> None:
    files = Files()
    files.put(tmp_path / "a/b/c", b"one")
    files.put(tmp_path / "a/b/c", b"two")
    assert (tmp_path / "a/b/c").read_bytes() == b"two"
    assert (tmp_path / "a/b/c").stat().st_mode & 0o777 == 0o600
    assert [each.name for each in (tmp_path / "a/b").iterdir()] == ["c"]
    files.drop(tmp_path / "a/b/c")
    files.drop(tmp_path / "a/b/c")
    assert list((tmp_path / "a/b").iterdir()) == []


@pytest.mark.parametrize("size", SIZES[1:])
def test_aics_tlog_audits_what_was_written(tmp_path: Path, size: int) -> None:
    aics = pytest.importorskip("aics_tlog", reason="aics-tlog is not installed")
    written(tmp_path, size, 3)
    report = aics.audit_tiles(aics.FileSystemTileReader(tmp_path), size, root_of(size))
    assert report
    bundle = tmp_path / place("entries", 0, min(size, 256))
    data = bytearray(bundle.read_bytes())
    data[5] ^= 1
    bundle.write_bytes(data)
    with pytest.raises(aics.TileVerificationError):
        aics.audit_tiles(aics.FileSystemTileReader(tmp_path), size, root_of(size))
