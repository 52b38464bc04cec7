"""What the sealer process tells of itself, and how it goes on after an error."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pdp.audit.tree.sealer import Sealer
from pdp.serve.runtime import Runtime
from pdp.serve.sealing import RETRY_SECONDS, STATUS, STEP_SECONDS, Sealing
from pdp.serve.worker import _unsealed
from tests.unit.audit.hosts import NOW, ORIGIN, SECOND, Writer


@pytest.fixture
def sealing(tmp_path: Path) -> Sealing:
    (tmp_path / "runtime").mkdir()
    return Sealing(lambda: Sealer(tmp_path / "audit", ORIGIN), Runtime(tmp_path / "runtime"))


def test_a_step_is_told_and_the_key_is_said_once(
    sealing: Sealing, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Writer(tmp_path / "audit").write(3)
    assert sealing.step(NOW) == STEP_SECONDS
    assert sealing.step(NOW + SECOND) == STEP_SECONDS
    status = Runtime(tmp_path / "runtime").read(STATUS)
    assert (status["size"], status["problem"], status["epoch"]) == (3, "", 1)
    assert capfd.readouterr().err.count(f"signed with {ORIGIN}+") == 1
    sealing.close()


def test_an_error_is_said_once_shown_and_tried_again(
    sealing: Sealing, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Writer(tmp_path / "audit").write(3)
    sealing.step(NOW)
    path = tmp_path / "audit/log/tile/0/000.p/3"
    data = path.read_bytes()
    path.write_bytes(b"x")
    sealing.close()
    for _ in range(3):
        assert sealing.step(NOW) == RETRY_SECONDS
    status = Runtime(tmp_path / "runtime").read(STATUS)
    assert _unsealed(NOW / 1e9, status) == ["the audit log is not sealed as it should be"]
    path.write_bytes(data)
    assert sealing.step(NOW) == STEP_SECONDS
    said = capfd.readouterr().err
    assert (said.count("ALARM"), said.count("sealed again")) == (1, 1)
    sealing.close()


def test_a_directory_that_was_moved_away_is_followed_by_a_new_log(sealing: Sealing, tmp_path: Path) -> None:
    Writer(tmp_path / "audit").write(3)
    sealing.step(NOW)
    (tmp_path / "audit").rename(tmp_path / "moved")
    Writer(tmp_path / "audit").write(5)
    assert sealing.step(NOW) == RETRY_SECONDS
    assert sealing.step(NOW) == STEP_SECONDS
    assert Runtime(tmp_path / "runtime").read(STATUS)["size"] == 5
    shutil.rmtree(tmp_path / "moved")
    sealing.close()


def test_a_sealer_that_says_nothing_is_noticed() -> None:
    assert _unsealed(100.0, {"problem": "", "looked_at": 90.0}) == []
    assert _unsealed(100.0, {"problem": "", "looked_at": 10.0}) == ["the sealer is silent"]
    assert _unsealed(100.0, {}) == []


def test_what_cannot_be_told_keeps_nothing_from_being_sealed(
    sealing: Sealing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Runtime, "write_bytes", full)
    Writer(tmp_path / "audit").write(3)
    assert sealing.step(NOW) == STEP_SECONDS
    sealing.close()
