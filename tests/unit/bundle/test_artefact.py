"""A policy set built, written and loaded again: the same answers, or a refusal to load."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pdp.bundle import artefact, files
from pdp.bundle.build import Built, build
from pdp.decide.engine import Engine
from pdp.diagnostics.diagnostic import PolicyError
from pdp.model.decision import Capabilities
from pdp.model.request import Request
from pdp.model.value import Missing

WARD = """
vocabulary Role "urn:r" { nurse  clerk }
entity User as "user" { role: Role  level: Int?  active: Bool  office: Ip?  friends: Set<User> }
entity Record as "record" { holder: User  period: { start: Int, end: Int? }?  nets: Set<Ip> }
action read, drop on Record by User
context { mood: Text? from caller }
permit read on Record as own "a holder reads" when resource.holder == subject
permit read on Record as nurse "a nurse reads" when subject.role == Role.nurse and subject.active
    release only /id
forbid read on Record as angry "not in anger" when context has mood and context.mood == "angry" because "calm down"
mask /ssn on Record as ssn "never"
route GET "/records/{record}" does read on Record record
"""
DATA = """[
{"type": "user", "id": "ann", "attributes": {"role": "nurse", "level": 1, "active": true, "friends": ["bob"]}},
{"type": "user", "id": "bob", "attributes": {"role": "clerk", "active": false, "office": "10.0.0.0/8", "friends": []}},
{"type": "record", "id": "r1", "attributes": {"holder": "bob", "period": {"start": 1}, "nets": ["::/0", "10.0.0.0/8"]}}
]"""
ALL = Capabilities(fields=True)


def policy(directory: Path, ward: str = WARD, data: str = DATA) -> Path:
    (directory / "data").mkdir(parents=True)
    (directory / "a.ward").write_text(ward, encoding="utf-8")
    (directory / "data" / "a.json").write_text(data, encoding="utf-8")
    return directory


@pytest.fixture
def built(tmp_path: Path) -> Built:
    return build(policy(tmp_path / "policies"))


def questions() -> list[Request]:
    return [
        Request("user", who, action, "record", which, context={"mood": mood})
        for who in ("ann", "bob", "eve")
        for which in ("r1", "r2")
        for action in ("read", "drop", "nope")
        for mood in ("calm", "angry", 7)
    ]


def test_what_is_loaded_answers_as_what_was_built(built: Built, tmp_path: Path) -> None:
    artefact.write(built, tmp_path / "a.bin")
    pauses: list[None] = []
    loaded = artefact.read(tmp_path / "a.bin", lambda: pauses.append(None))
    assert (loaded.program.digest, loaded.source_digest) == (built.program.digest, built.source_digest)
    assert loaded.revision == built.revision
    assert loaded.routes == built.routes
    assert loaded.policies.rules == built.policies.rules
    assert len(pauses) >= 3
    before, after = Engine(built.program, built.entities), Engine(loaded.program, loaded.entities)
    decisions = [before.decide(each, 0, ALL) for each in questions()]
    assert [after.decide(each, 0, ALL) for each in questions()] == decisions
    assert {decision.allowed for decision in decisions} == {True, False}


def test_rows_come_back_value_for_value_and_type_for_type(built: Built, tmp_path: Path) -> None:
    artefact.write(built, tmp_path / "a.bin")
    loaded = artefact.read(tmp_path / "a.bin")
    assert list(loaded.entities.rows) == list(built.entities.rows)
    for reference, row in built.entities.rows.items():
        assert _typed(loaded.entities.rows[reference]) == _typed(row)


def _typed(value: object) -> object:
    if isinstance(value, Missing):
        return value.name
    if isinstance(value, frozenset):
        return ("set", frozenset(map(_typed, value)))
    if isinstance(value, tuple):
        return (type(value).__name__, *map(_typed, value))
    return (type(value).__name__, value)


def test_the_same_directory_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("1", "2"):
        artefact.write(build(policy(tmp_path / name / "p")), tmp_path / f"{name}.bin")
        (tmp_path / name / "p").rename(tmp_path / name / "q")
    one, two = (artefact.read(tmp_path / f"{name}.bin") for name in ("1", "2"))
    assert (one.program.digest, one.revision) == (two.program.digest, two.revision)


def test_the_file_is_its_owners_alone_and_replaces_the_old_one_whole(built: Built, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    path.chmod(0o666)
    artefact.write(built, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.bin", "policies"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    artefact.write(built, path)
    before = path.read_bytes()

    def fails(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="disk full"):
        artefact.write(built, path)
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.bin", "policies"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_loaded(built: Built, tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.bin"
    artefact.write(built, path)
    path.chmod(mode)
    with pytest.raises(artefact.BadArtefact, match="written by others"):
        artefact.read(path)


def test_a_file_of_somebody_else_is_not_loaded(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    artefact.write(built, path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(artefact.BadArtefact, match="somebody else"):
        artefact.read(path)


def test_a_link_or_a_directory_is_not_loaded(built: Built, tmp_path: Path) -> None:
    artefact.write(built, tmp_path / "a.bin")
    (tmp_path / "link.bin").symlink_to("a.bin")
    with pytest.raises(OSError):
        artefact.read(tmp_path / "link.bin")
    with pytest.raises((OSError, artefact.BadArtefact)):
        artefact.read(tmp_path)


def test_a_changed_byte_or_a_cut_is_found(built: Built, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    artefact.write(built, path)
    whole = path.read_bytes()
    for at in (0, 20, 30, 60, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(artefact.BadArtefact):
            artefact.read(path)
    for length in (0, 10, 21, 53, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(artefact.BadArtefact):
            artefact.read(path)


# Building.


def codes(directory: Path) -> list[str]:
    with pytest.raises(PolicyError) as raised:
        build(directory)
    return [each.code for each in raised.value.diagnostics]


def test_what_is_no_policy_directory_is_one_finding(tmp_path: Path) -> None:
    assert codes(tmp_path / "nowhere") == ["no-such-directory"]
    (tmp_path / "file").write_text("")
    assert codes(tmp_path / "file") == ["no-such-directory"]
    (tmp_path / "empty").mkdir()
    assert codes(tmp_path / "empty") == ["no-policies"]


def test_every_bad_file_is_found_at_once(tmp_path: Path) -> None:
    directory = policy(tmp_path / "p")
    (directory / "binary.ward").write_bytes(b"permit \xff\xfe")
    (directory / "huge.ward").write_bytes(b"#" * (1 << 20) + b"\n")
    (directory / "wrong.ward").write_text("permitt read on Record\n")
    os.mkfifo(directory / "pipe.ward")
    (directory / "out.ward").symlink_to("/etc/hostname")
    found = codes(directory)
    assert {"not-utf8", "file-too-large", "unreadable-file", "link-leads-outside"} <= set(found)
    assert len(found) == 5


def test_too_many_files_are_one_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = policy(tmp_path / "p")
    (directory / "b.ward").write_text("")
    monkeypatch.setattr(files, "MAX_FILES", 1)
    assert codes(directory) == ["too-many-files"]
    monkeypatch.setattr(files, "MAX_FILES", 10)
    monkeypatch.setattr(files, "MAX_DEPTH", 2)
    (directory / "1" / "2" / "3" / "4").mkdir(parents=True)
    assert codes(directory) == ["too-many-files"]


def test_hidden_files_are_left_alone(tmp_path: Path) -> None:
    directory = policy(tmp_path / "p")
    (directory / ".#a.ward").write_text("nonsense")
    (directory / ".git").mkdir()
    (directory / ".git" / "b.ward").write_text("nonsense")
    assert build(directory).program.rule_count == 4


def test_semantics_17_the_order_of_files_never_matters(tmp_path: Path) -> None:
    declarations = [line for line in WARD.replace("\n    ", " ").splitlines() if line]
    digests = set()
    for name, parts in {"one": [declarations], "many": [[each] for each in reversed(declarations)]}.items():
        directory = policy(tmp_path / name, ward="")
        for number, part in enumerate(parts):
            (directory / f"part{number}.ward").write_text("\n".join(part))
        digests.add(build(directory).program.digest)
    assert len(digests) == 1


def test_bad_data_refuse_the_whole(tmp_path: Path) -> None:
    assert codes(policy(tmp_path / "p", data='[{"type": "user", "id": ""}]')) == ["data-bad-identifier"]
