"""A lost memory of the sealer is made anew, and only where the log is the one that was signed last."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pdp.audit.checking.repair import rebuilt, write
from pdp.audit.checking.verify import verify
from pdp.audit.evidence import EvidenceError
from pdp.audit.tree import checkpoint, state
from pdp.audit.tree.keys import published
from pdp.audit.tree.sealer import EPOCH_SECONDS
from pdp.audit.tree.tiles import place
from pdp.cli.main import main
from tests.unit.audit.hosts import NOW, SECOND, Writer, sealed, sealer

TREE = f"{state.DIRECTORY}/{state.NAME}"
TS = ',"ts":"2027-01-15T08:00:00.000000Z"'


@pytest.fixture
def host(tmp_path: Path) -> tuple[Path, list[Writer]]:
    """Three slots, several segments, a key rotation, and records that wait."""
    directory = tmp_path / "host"
    writers = [Writer(directory, slot) for slot in (0, 1, 200)]
    for turn in range(4):
        for each in writers:
            each.write(20 + turn, TS)
        if turn == 2:
            writers[0].next_segment()
        sealed(directory, NOW + turn * SECOND)
        if turn == 1:
            ours = sealer(directory)
            ours.step(NOW + turn * SECOND, rotate=True)
            ours.close()
    writers[1].write(3, TS)
    writers[2].next_segment()
    return directory, writers


def lose(directory: Path) -> state.State:
    known = state.read(directory)
    assert known is not None
    (directory / TREE).unlink()
    return known


def test_what_is_rebuilt_is_what_was_lost(host: tuple[Path, list[Writer]]) -> None:
    directory, _ = host
    known = lose(directory)
    found = rebuilt(directory)
    slots = {number: (at.seq, at.chain) for number, at in known.slots.items()}
    assert {number: (at.seq, at.chain) for number, at in found.slots.items()} == slots
    assert replace(found, slots={}) == replace(known, slots={})


def test_the_sealer_goes_on_as_if_nothing_had_happened(host: tuple[Path, list[Writer]], tmp_path: Path) -> None:
    directory, writers = host
    shutil.copytree(directory, tmp_path / "other")
    lose(directory)
    write(directory, rebuilt(directory))
    writers[2].write(5, TS)
    shutil.rmtree(tmp_path / "other/wal")
    shutil.copytree(directory / "wal", tmp_path / "other/wal")
    for each in (directory, tmp_path / "other"):
        sealed(each, NOW + 9 * SECOND)
    assert (directory / "log/checkpoint").read_bytes() == (tmp_path / "other/log/checkpoint").read_bytes()
    report = verify(directory, published(directory / "keys"))
    assert (report.findings, report.waiting) == ([], 0)


def test_a_damaged_one_is_kept_beside(host: tuple[Path, list[Writer]]) -> None:
    directory, _ = host
    (directory / TREE).write_text("{")
    write(directory, rebuilt(directory))
    assert (directory / f"{TREE}.damaged").read_text() == "{"
    assert verify(directory, published(directory / "keys")).findings == []


def test_an_empty_log_can_be_repaired(tmp_path: Path) -> None:
    Writer(tmp_path)
    sealed(tmp_path)
    lose(tmp_path)
    write(tmp_path, rebuilt(tmp_path))
    sealed(tmp_path, NOW + SECOND)


def test_the_next_epoch_begins_when_it_was_due(host: tuple[Path, list[Writer]]) -> None:
    directory, _ = host
    known = lose(directory)
    write(directory, rebuilt(directory))
    ours = sealer(directory)
    assert ours.step(NOW + (EPOCH_SECONDS - 1) * SECOND).epoch == known.epoch == 2
    assert ours.step(NOW + (EPOCH_SECONDS + 2) * SECOND).epoch == 3
    ours.close()


def files(directory: Path, row: str) -> list[Path]:
    return [path for path in (directory / "log/tile" / row).rglob("*") if path.is_file()]


def edited(directory: Path) -> None:
    for path in files(directory, "entries"):
        path.write_bytes(path.read_bytes().replace(b'"d-0-1"', b'"d-0-x"'))


def tile(directory: Path) -> None:
    for path in files(directory, "0"):
        data = bytearray(path.read_bytes())
        data[40] ^= 1
        path.write_bytes(data)


def cut(directory: Path) -> None:
    """The log as it was one step before; the promise tells."""
    last = checkpoint.last(directory / "log") or 0
    (directory / "log" / checkpoint.place(last)).unlink()
    (directory / "log" / place(0, (last - 1) // 256, (last - 1) % 256 + 1)).unlink()


def foreign(directory: Path) -> None:
    shutil.rmtree(directory / "keys")
    Writer(directory.parent / "other")
    sealed(directory.parent / "other")
    shutil.copytree(directory.parent / "other/keys", directory / "keys")


def no_slot(directory: Path) -> None:
    shutil.rmtree(directory / "wal/1")


def rewritten(directory: Path) -> None:
    """The write-ahead log was written anew, as another one."""
    shutil.rmtree(directory / "wal/1")
    Writer(directory, 1, boot=9).write(200, TS + ',"x":1')


def no_checkpoints(directory: Path) -> None:
    shutil.rmtree(directory / "log/checkpoints")


def old_keys(directory: Path) -> None:
    (directory / "keys/promise.json").write_text(json.dumps({"size": 1, "root": "00" * 32}))


@pytest.mark.parametrize(
    "tamper", [edited, tile, cut, foreign, no_slot, rewritten, no_checkpoints, old_keys], ids=lambda each: each.__name__
)
def test_what_is_not_what_was_signed_is_refused(
    host: tuple[Path, list[Writer]], tamper: Callable[[Path], None]
) -> None:
    directory, _ = host
    lose(directory)
    tamper(directory)
    with pytest.raises(EvidenceError):
        rebuilt(directory)
    assert main(["audit", "repair", "--directory", str(directory), "--write"]) == 2
    assert not (directory / TREE).exists()


def test_a_sealer_that_was_interrupted_before_it_signed_is_gone_on_with(host: tuple[Path, list[Writer]]) -> None:
    """Tiles and promise are there, the checkpoint is not: what was promised is what is rebuilt."""
    directory, _ = host
    known = lose(directory)
    newest = directory / "log" / checkpoint.place(known.size)
    newest.unlink()
    found = rebuilt(directory)
    assert (found.size, found.root) == (known.size, known.root)


def test_while_a_sealer_is_at_work_nothing_is_written(host: tuple[Path, list[Writer]]) -> None:
    directory, _ = host
    found = rebuilt(directory)
    ours = sealer(directory)
    with pytest.raises(EvidenceError, match="another sealer"):
        write(directory, found)
    ours.close()


def test_the_command_shows_first_and_then_does_it_on_record(
    host: tuple[Path, list[Writer]], capsys: pytest.CaptureFixture[str]
) -> None:
    directory, _ = host
    command = ["audit", "repair", "--directory", str(directory)]
    assert main(command) == 0
    assert "nothing to repair" in capsys.readouterr().out
    lose(directory)
    assert main(command) == 1
    assert "it can be rebuilt" in capsys.readouterr().out
    assert not (directory / TREE).exists()
    assert main([*command, "--write"]) == 0
    assert main(command) == 0
    sealed(directory, NOW + 9 * SECOND)
    assert verify(directory, published(directory / "keys")).findings == []
