"""`pdp audit report evidence` and `check`: what is in a pack, and that nothing of it can be changed."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pdp.audit.reports import policies
from pdp.audit.reports.packed import check
from pdp.audit.tree.note import VerifierKey, vkey
from pdp.cli.main import main
from tests.unit.audit.seen import DIGEST, sealed, seen, told, written


@pytest.fixture
def there(tmp_path: Path) -> Path:
    directory = tmp_path / "audit"
    directory.mkdir()
    for month in range(1, 6):
        written(directory, *(seen(f"2026-0{month}-{day:02}T10:00:00Z") for day in range(1, 11)))
        sealed(directory, f"2026-0{month}-20T00:00:00Z")
    policies.keep(directory, DIGEST, {"care.ward": b"# the rules\n", "pdp.toml": b""})
    return directory


def make(there: Path, *more: str, when: str = "2026-03", name: str = "pack") -> tuple[int, Path]:
    path = there.parent / f"{name}.tar"
    evidence = [
        "--in",
        when,
        "--to-file",
        str(path),
        "--key",
        str(there.parent / "org.key"),
        "--name",
        "evidence.example",
    ]
    return main(["audit", "report", "evidence", "--directory", str(there), *evidence, *more]), path


def key_of(there: Path) -> VerifierKey:
    from pdp.audit.tree.keys import private_in
    from pdp.audit.tree.note import verifier

    return verifier("evidence.example", private_in(there.parent / "org.key"))


def keys_of(there: Path) -> list[VerifierKey]:
    return [key_of(there), *(vkey(each.read_text()) for each in sorted((there / "keys").glob("*.vkey")))]


def content(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]


def rewritten(path: Path, files: dict[str, bytes]) -> Path:
    path.unlink()
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_a_pack_is_whole_for_whoever_has_the_keys_and_nothing_else(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, path = make(there)
    assert code == 0
    given = [word for key in keys_of(there) for word in ("--vkey", str(key))]
    there.rename(there.parent / "gone")
    assert main(["audit", "report", "check", str(path), *given]) == 0
    said = capsys.readouterr().out
    assert "whole, signed by evidence.example; checkpoints by pdp.example/host-1" in said
    assert "10 of them in the period" in said


def test_it_holds_the_records_of_the_period_and_what_was_in_force(there: Path) -> None:
    _, path = make(there)
    found = check(path, keys_of(there))
    assert (found.findings, found.notes) == ([], [])
    assert (found.inside, found.policies) == (10, [DIGEST])
    assert found.records < 20
    assert policies.unpacked(content(path)[f"policies/{DIGEST}.tar"])["care.ward"] == b"# the rules\n"


def test_the_same_evidence_is_the_same_bytes(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pdp.cli.report_evidence.clock", lambda: 1_800_000_000_000_000)
    monkeypatch.setattr("pdp.cli.report_evidence.recorded", lambda *_: None)
    one, other = (make(there, name=name)[1] for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_every_byte_of_every_file_is_signed(there: Path) -> None:
    _, path = make(there)
    files, keys = content(path), keys_of(there)
    assert len(files) > 8
    for name, data in files.items():
        for at in {0, len(data) // 2, len(data) - 1} if data else set():
            changed = bytearray(data)
            changed[at] ^= 1
            found = check(rewritten(path, files | {name: bytes(changed)}), keys)
            assert found.findings, (name, at)


def test_a_file_that_is_dropped_added_doubled_or_leads_elsewhere_is_found(there: Path) -> None:
    _, path = make(there)
    files, keys = content(path), keys_of(there)
    for name in files:
        assert check(rewritten(path, {each: data for each, data in files.items() if each != name}), keys).findings, name
    assert "in no list" in check(rewritten(path, files | {"log/more": b""}), keys).findings[0]
    for name in ("../../etc/passwd", "/etc/passwd", "log/../x"):
        assert "no file that a pack has" in check(rewritten(path, files | {name: b""}), keys).findings[0]
    rewritten(path, files)
    with tarfile.open(path, "a") as tar:
        tar.addfile(tarfile.TarInfo("PACK.note"))
    assert "twice" in check(path, keys).findings[0]
    rewritten(path, files)
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("log/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert "no file that a pack has" in check(path, keys).findings[0]


def test_what_is_no_tar_is_found(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"nothing" * 1_000)
    assert check(tmp_path / "x.tar", []).findings


def test_a_pack_that_another_key_signed_is_not_believed(there: Path, tmp_path: Path) -> None:
    _, path = make(there)
    ours = keys_of(there)
    (tmp_path / "org.key").unlink()
    _, other = make(there, name="other")
    assert "not to be trusted" in check(other, ours).findings[0]
    assert check(path, ours).findings == []


def test_the_log_is_believed_for_its_own_signature_not_for_that_of_the_organisation(there: Path) -> None:
    """Whoever has the key of the organisation cannot change a record."""
    _, path = make(there)
    files = content(path)
    name = next(each for each in files if each.startswith("log/records/"))
    files[name] = files[name].replace(b"clinical-view", b"clinical-VIEW", 1)
    found = check(resigned(there, path, files), keys_of(there))
    assert found.findings == ["the records do not lead to log/checkpoint.to"]


def resigned(there: Path, path: Path, files: dict[str, bytes]) -> Path:
    """What somebody with the key of the organisation can do."""
    from base64 import b64encode
    from hashlib import sha256

    from pdp.audit.tree import note
    from pdp.audit.tree.keys import private_in

    manifest = json.loads(files["MANIFEST.json"])
    listed = [name for name in files if name not in ("MANIFEST.json", "PACK.note")]
    manifest["files"] = [
        {"name": each, "size": len(files[each]), "sha256": sha256(files[each]).hexdigest()} for each in listed
    ]
    files["MANIFEST.json"] = json.dumps(manifest).encode()
    lines = files["PACK.note"].decode().split("\n")[:3]
    text = "\n".join([*lines, b64encode(sha256(files["MANIFEST.json"]).digest()).decode(), ""])
    files["PACK.note"] = note.sign(text, "evidence.example", private_in(there.parent / "org.key"))
    return rewritten(path, files)


Change = Callable[[dict[str, bytes]], None]


def dropped(files: dict[str, bytes]) -> None:
    name = next(each for each in files if each.startswith("log/records/"))
    data = files[name]
    files[name] = data[2 + int.from_bytes(data[:2], "big") :]


def moved(files: dict[str, bytes]) -> None:
    files["log/checkpoint.from"], files["log/checkpoint.to"] = files["log/checkpoint.to"], files["log/checkpoint.from"]


def frontier(files: dict[str, bytes]) -> None:
    said = json.loads(files["log/range.json"])
    said["frontier"][0] = "00" * 32
    files["log/range.json"] = json.dumps(said).encode()


@pytest.mark.parametrize("change", [dropped, moved, frontier])
def test_the_organisation_can_drop_or_move_nothing(there: Path, change: Change) -> None:
    _, path = make(there)
    files = content(path)
    change(files)
    assert check(resigned(there, path, files), keys_of(there)).findings


def test_without_the_key_of_the_log_it_proves_less_and_it_is_said(there: Path) -> None:
    _, path = make(there)
    found = check(path, [key_of(there)])
    assert found.findings == []
    assert "no key of the log was given" in found.notes[0]


def test_without_records_only_their_continuation_is_shown(there: Path) -> None:
    _, path = make(there, "--records", "no")
    found = check(path, keys_of(there))
    assert found.findings == []
    assert "not what it says" in found.notes[0]
    assert not [name for name in content(path) if name.startswith("log/records")]
    files = content(path)
    said = json.loads(files["log/range.json"])
    said["consistency"] = said["consistency"][1:]
    files["log/range.json"] = json.dumps(said).encode()
    assert check(resigned(there, path, files), keys_of(there)).findings


def test_an_empty_period_is_shown_by_what_stands_around_it(there: Path) -> None:
    _, path = make(there, when="2026-03-15")
    found = check(path, keys_of(there))
    assert (found.findings, found.inside) == ([], 0)
    assert found.records >= 2


def test_a_suspended_disclosure_is_not_in_a_pack_without_records_and_the_operator_is_warned(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pdp.audit.asking.period import brief
    from pdp.cli.reporting import clock

    now = clock()
    members = {"statement": "written", "from": brief(now - 1), "until": brief(now + 10**12)}
    told(there, "disclosure.suspend", members, "2026-03-10T11:00:00Z", {"agency": "The Bureau"})
    sealed(there)
    make(there)
    assert "never give this pack to the individual" in capsys.readouterr().err
    _, path = make(there, "--records", "no", name="without")
    data = path.read_bytes()
    assert b"Bureau" not in data
    assert b"suspend" not in data


def test_a_log_with_findings_gives_a_pack_that_says_so(there: Path) -> None:
    entries = max((there / "log/tile/entries/000.p").iterdir(), key=lambda each: int(each.name))
    entries.write_bytes(entries.read_bytes().replace(b'"r1"', b'"r2"', 1))
    code, path = make(there, when="2026-05")
    assert code == 1
    found = check(path, keys_of(there))
    assert found.verified["exit_code"] != 0
    assert found.notes


def test_a_policy_set_that_was_not_kept_is_named(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policies.place(there, DIGEST).unlink()
    code, path = make(there)
    assert code == 1
    assert "was not kept" in capsys.readouterr().err
    assert "was not kept" in check(path, keys_of(there)).notes[0]


def test_the_key_of_the_sealer_signs_no_pack(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--in", "2026-03", "--to-file", str(there.parent / "x.tar"), "--key"]
    (current,) = (there / "keys").glob("*.key")
    copy = there.parent / "copy.key"
    copy.write_bytes(current.read_bytes())
    copy.chmod(0o600)
    for key in (current, there / "keys/1.key", copy):
        assert main(["audit", "report", "evidence", "--directory", str(there), *args, str(key)]) == 2
        assert "nobody but the sealer" in capsys.readouterr().err
    assert not list(there.parent.glob("x.tar*"))
    assert list((there / "keys").glob("*.key")) == [current]


def test_a_pack_is_not_overwritten(there: Path) -> None:
    make(there)
    assert make(there)[0] == 2


def test_a_pack_over_a_change_of_keys_is_checked_with_the_first_key_alone(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    directory.mkdir()
    for month in range(1, 6):
        written(directory, *(seen(f"2026-0{month}-{day:02}T10:00:00Z") for day in range(1, 4)))
        sealed(directory, f"2026-0{month}-20T00:00:00Z")
        sealed(directory, f"2026-0{month}-20T00:00:01Z")
    assert len(list((directory / "keys").glob("*.vkey"))) > 2
    _, path = make(directory, when="2026-05")
    first = vkey((directory / "keys/1.vkey").read_text())
    found = check(path, [key_of(directory), first])
    assert found.findings == []
    assert not any("no key of the log" in each for each in found.notes)
