"""An evidence pack that somebody made to be believed, to crash its reader or to hide something in it."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pdp.audit.reports.packed import check
from pdp.audit.tree import checkpoint, note
from pdp.audit.tree.note import vkey
from pdp.audit.tree.sealer import Sealer
from tests.unit.audit.seen import ORIGIN, at, sealed, seen, written
from tests.unit.cli.test_audit_evidence import content, key_of, keys_of, make, resigned
from tests.unit.cli.test_audit_evidence import there as there

BLOCK = 512


def test_what_stands_behind_the_end_of_the_archive_is_found(there: Path) -> None:
    """Other programs go on and unpack it."""
    _, path = make(there)
    whole = path.read_bytes()
    for hidden in (whole, b"x", bytes(10_240) + b"x"):
        path.write_bytes(whole + hidden)
        assert check(path, keys_of(there)).findings
    path.write_bytes(whole + bytes(10_240))
    assert check(path, keys_of(there)).findings == []
    path.write_bytes(whole.rstrip(b"\0") + b"\xff" * BLOCK + bytes(1_024))
    assert check(path, keys_of(there)).findings


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K", b"S", b"1", b"2", b"3", b"6", b"5", b"7"])
def test_a_head_that_says_something_about_others_is_not_read(kind: bytes, tmp_path: Path) -> None:
    """It may be as long as the disk is, and would be taken into memory."""
    import tarfile

    member = tarfile.TarInfo("log/range.json")
    member.type, member.size = kind, 7 << 30
    path = tmp_path / "pack.tar"
    path.write_bytes(member.tobuf(tarfile.USTAR_FORMAT))
    with path.open("r+b") as file:
        file.truncate(8 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert check(path, []).findings
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


Change = Callable[[dict[str, bytes]], None]


def cut(files: dict[str, bytes]) -> None:
    name = next(each for each in files if each.startswith("log/records/"))
    files[name] = files[name][:-1]


def crowded(files: dict[str, bytes]) -> None:
    name = next(each for each in files if each.startswith("log/records/"))
    files[name] = bytes(200_000)


def unreadable_key(files: dict[str, bytes]) -> None:
    files["keys/1.vkey"] = b"none\n"


def infinite(files: dict[str, bytes]) -> None:
    files["log/range.json"] = files["log/range.json"].replace(b'"from": ', b'"from": 1e400, "x": ')


def odd_words(files: dict[str, bytes]) -> None:
    manifest = json.loads(files["MANIFEST.json"])
    files["MANIFEST.json"] = json.dumps(manifest | {"made": [1], "period": manifest["period"] | {"says": 5}}).encode()


def odd_policies(files: dict[str, bytes]) -> None:
    files["policies/index.json"] = b'[{"digest": ["x"]}]'


def odd_policy(files: dict[str, bytes]) -> None:
    name = next(each for each in files if each.startswith("policies/") and each.endswith(".tar"))
    files[name] = b"no tar"


@pytest.mark.parametrize("change", [cut, crowded, unreadable_key, infinite, odd_words, odd_policies, odd_policy])
def test_a_pack_that_is_odd_is_a_finding_and_no_crash(change: Change, there: Path) -> None:
    _, path = make(there)
    files = content(path)
    change(files)
    resigned(there, path, files)
    for keys in (keys_of(there), [key_of(there)]):
        found = check(path, keys)
        assert found.findings or (change is unreadable_key and len(keys) > 1)


def test_a_pack_that_begins_or_ends_in_the_period_says_that_the_rest_is_not_shown(there: Path) -> None:
    """Whoever makes it chooses the two checkpoints, and with them what the pack leaves out."""
    _, path = make(there)
    assert check(path, keys_of(there)).notes == []
    _, narrow = make(there, when="2026-03-05", name="narrow")
    files = content(narrow)
    said = json.loads(files["MANIFEST.json"])
    said["period"] = {"from": "2026-02-05T00:00:00Z", "before": "2026-12-05T00:00:00Z", "says": "February to November"}
    files["MANIFEST.json"] = json.dumps(said).encode()
    notes = check(resigned(there, narrow, files), keys_of(there)).notes
    assert any("before record" in each for each in notes)
    assert any("from record" in each for each in notes)


def test_a_key_whose_time_is_over_signs_no_checkpoint_of_a_pack(tmp_path: Path) -> None:
    """It was deleted at the end of its epoch, if nobody had copied it before."""
    directory = tmp_path / "audit"
    directory.mkdir()
    written(directory, *(seen(f"2026-01-{day:02}T10:00:00Z") for day in range(1, 4)))
    sealed(directory, "2026-01-05T00:00:00Z")
    shutil.copy(directory / "keys/1.key", tmp_path / "stolen.key")
    sealer = Sealer(directory, ORIGIN)
    sealer.step(at("2026-01-05T00:01:00Z") * 1_000, rotate=True)
    sealer.close()
    written(directory, *(seen(f"2026-02-{day:02}T10:00:00Z") for day in range(1, 4)))
    sealed(directory, "2026-02-05T00:00:00Z")
    _, path = make(directory, when="2026-02")
    first = vkey((directory / "keys/1.vkey").read_text())
    assert check(path, [key_of(directory), first]).findings == []
    files = content(path)
    from pdp.audit.tree.keys import private_in

    said = checkpoint.parse(note.parse(files["log/checkpoint.to"]).text)
    files["log/checkpoint.to"] = checkpoint.sign(said, private_in(tmp_path / "stolen.key"))
    assert check(resigned(directory, path, files), [key_of(directory), first]).findings
