"""The keys of what a log hides: made once by whoever is first, never made anew where they are lost, erased for good."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.veil.vault import Erased, Vault, day_of

NOW = "2026-11-21T00:00:00.000000Z"


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    made = Vault(tmp_path / "privacy")
    made.make()
    return made


def test_a_first_start_makes_what_is_needed_for_its_owner_alone(vault: Vault) -> None:
    vault.day_key("20261121")
    files = [each for each in vault.directory.rglob("*") if each.is_file()]
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}
    assert {each.stat().st_mode & 0o777 for each in (vault.directory, *vault.directory.glob("*/"))} == {0o700}
    assert not [each for each in files if each.name.startswith(".")]


def test_a_second_start_finds_the_same_keys(vault: Vault) -> None:
    again = Vault(vault.directory)
    assert again.make() == vault.id()
    assert again.pseudonym_keys() == vault.pseudonym_keys()
    assert again.day_key("20261121") == vault.day_key("20261121")


def test_no_key_stands_in_any_file_as_it_is_but_the_master(vault: Vault) -> None:
    keys = [vault.day_key("20261121")[1], *vault.pseudonym_keys().values()]
    for path in vault.directory.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert not any(key in data or key.hex().encode() in data for key in keys), path


def test_many_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    read, write = os.pipe()
    children = []
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            vault = Vault(tmp_path / "privacy")
            said = f"{vault.make()} {vault.pseudonym_keys()[1].hex()} {vault.day_key('20261121')[0]}\n"
            os.write(write, said.encode())
            os._exit(0)
        children.append(pid)
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    os.close(write)
    with os.fdopen(read) as found:
        lines = found.readlines()
    assert len(lines) == 8
    assert len(set(lines)) == 1


def test_a_master_key_elsewhere_leaves_a_copy_of_the_directory_with_nothing(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "privacy", tmp_path / "elsewhere.key")
    vault.make()
    kid, _ = vault.day_key("20261121")
    assert not (tmp_path / "privacy/master.key").exists()
    copy = Vault(tmp_path / "privacy")
    with pytest.raises(EvidenceError, match=r"master\.key cannot be read"):
        copy.data_key(kid)
    with pytest.raises(EvidenceError, match=r"master\.key cannot be read"):
        copy.pseudonym_keys()


@pytest.mark.parametrize("name", ["master.key", "pseudonyms/1.key"])
def test_a_key_that_others_may_read_is_no_key(vault: Vault, name: str) -> None:
    (vault.directory / name).chmod(0o640)
    with pytest.raises(EvidenceError, match="open to others"):
        vault.make()


def test_a_directory_that_others_may_read_holds_no_keys(vault: Vault) -> None:
    vault.directory.chmod(0o750)
    with pytest.raises(EvidenceError, match="chmod 700"):
        vault.make()


def test_a_master_key_that_is_lost_is_not_made_anew_over_what_it_wrapped(vault: Vault) -> None:
    vault.master.unlink()
    with pytest.raises(EvidenceError, match="missing"):
        vault.make()
    assert not vault.master.exists()


@pytest.mark.parametrize("content", [b"", b"\xff", b"abc", b"00" * 31, b"zz" * 32])
def test_a_master_key_that_is_none_is_said(vault: Vault, content: bytes) -> None:
    vault.master.write_bytes(content)
    with pytest.raises(EvidenceError, match="master"):
        vault.check()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"key": "1", "master": 1, "wrapped": 2}'])
def test_a_wrapped_key_that_is_none_is_said(vault: Vault, content: bytes) -> None:
    (vault.directory / "pseudonyms/1.key").write_bytes(content)
    with pytest.raises(EvidenceError):
        vault.check()


def test_the_key_of_another_day_or_epoch_does_not_pass_for_this_one(vault: Vault) -> None:
    first, second = vault.day_key("20261121")[0], vault.day_key("20261122")[0]
    vault.path_of(second).write_bytes(vault.path_of(first).read_bytes())
    with pytest.raises(EvidenceError, match="damaged"):
        vault.data_key(second)


def test_a_new_epoch_keeps_those_before_it(vault: Vault) -> None:
    before = vault.pseudonym_keys()
    assert (vault.rotate_pseudonyms(), vault.rotate_pseudonyms()) == (2, 3)
    after = vault.pseudonym_keys()
    assert after[1] == before[1]
    assert len(set(after.values())) == 3


def test_a_new_master_key_opens_all_and_the_old_one_nothing(vault: Vault) -> None:
    kid, key = vault.day_key("20261121")
    vault.rotate_pseudonyms()
    names, old = vault.pseudonym_keys(), vault.master.read_bytes()
    assert vault.rotate_master() == 3
    assert (vault.data_key(kid), vault.pseudonym_keys()) == (key, names)
    assert len(vault.master.read_text().split()) == 1
    vault.master.write_bytes(old)
    with pytest.raises(EvidenceError, match="another master key"):
        vault.data_key(kid)


class Failing(Files):
    """Every system call up to the one that fails."""

    def __init__(self, at: int, error: int = 28) -> None:
        self.left = at
        self.error = error

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(self.error, os.strerror(self.error))

    def open(self, path: Path, flags: int) -> int:
        self._step()
        return super().open(path, flags)

    def pwrite(self, file: int, data: bytes, offset: int) -> int:
        self._step()
        return super().pwrite(file, data, offset)

    def fsync(self, file: int) -> None:
        self._step()
        super().fsync(file)

    def rename(self, old: Path, new: Path) -> None:
        self._step()
        super().rename(old, new)


def test_a_rotation_of_the_master_key_that_fails_anywhere_loses_nothing_and_can_be_done_again(vault: Vault) -> None:
    kid, key = vault.day_key("20261121")
    names = vault.pseudonym_keys()
    failed, at = 0, 0
    while True:
        at += 1
        try:
            Vault(vault.directory, None, Failing(at)).rotate_master()
        except EvidenceError:
            failed += 1
            assert (vault.data_key(kid), vault.pseudonym_keys()) == (key, names), at
        else:
            break
    assert failed > 10
    assert (vault.data_key(kid), vault.pseudonym_keys()) == (key, names)
    assert len(vault.master.read_text().split()) == 1


def test_a_disk_that_is_full_at_any_step_of_a_first_start_leaves_keys_whole_or_not_there(tmp_path: Path) -> None:
    failed, at = 0, 0
    while True:
        at += 1
        try:
            Vault(tmp_path / "privacy", None, Failing(at)).make()
        except EvidenceError:
            failed += 1
        else:
            break
    vault = Vault(tmp_path / "privacy")
    assert failed > 10
    assert vault.make() == vault.id()
    assert list(vault.pseudonym_keys()) == [1]
    assert not [each for each in vault.directory.rglob(".*") if each.is_file()]


def test_an_erased_key_is_gone_overwritten_and_marked(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    kid, _ = vault.day_key("20261101")
    other, _ = vault.day_key("20261102")
    link = vault.directory / "held"  # What somebody sees who still has the blocks.
    os.link(vault.path_of(kid), link)
    vault.erase(kid, NOW)
    assert not any(link.read_bytes())
    assert vault.is_erased(kid)
    assert [(each.kid, each.day, each.erased) for each in vault.days()] == [
        (kid, "2026-11-01", NOW),
        (other, "2026-11-02", ""),
    ]
    with pytest.raises(EvidenceError):
        vault.data_key(kid)
    assert vault.data_key(other)


def test_an_erasure_that_fails_anywhere_is_finished_by_the_next(vault: Vault) -> None:
    for at in range(1, 12):
        kid, _ = vault.day_key(f"202611{at:02}")
        try:
            Vault(vault.directory, None, Failing(at)).erase(kid, NOW)
        except EvidenceError:
            vault.erase(kid, NOW)
        assert vault.is_erased(kid)
        assert not vault.path_of(kid).exists()


def test_a_day_whose_key_was_erased_never_has_one_again(vault: Vault) -> None:
    kid, _ = vault.day_key("20261101")
    vault.erase(kid, NOW)
    with pytest.raises(Erased, match="20261101"):
        vault.day_key("20261101")
    assert [each.kid for each in vault.days()] == [kid]


def test_no_new_key_is_wrapped_under_a_master_key_that_opens_none_of_ours(vault: Vault) -> None:
    ours = vault.master.read_text()
    vault.master.write_text(f"{'ab' * 32}\n")
    with pytest.raises(EvidenceError, match="another master key"):
        vault.day_key("20261101")
    assert vault.days() == []
    vault.master.write_text(ours)
    assert vault.day_key("20261101")


def test_who_holds_the_lock_holds_up_who_changes_and_nobody_who_reads(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pdp.audit.veil.vault.LOCK_SECONDS", 0.0)
    kid, _ = vault.day_key("20261101")
    failed: list[Any] = []

    def other() -> None:
        assert vault.data_key(kid)
        try:
            Vault(vault.directory).rotate_pseudonyms()
        except EvidenceError as error:
            failed.append(error)

    with vault.alone():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "being changed" in str(failed[0])


@pytest.mark.parametrize(
    ("moment", "day"), [(0, "19700101"), (1_700_000_000_000_000, "20231114"), (86_399_999_999, "19700101")]
)
def test_the_day_of_a_moment(moment: int, day: str) -> None:
    assert day_of(moment) == day
