"""When a policy set is taken. Time is an argument: nothing here sleeps."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from pdp.serve.builder import Builder, Once
from pdp.serve.runtime import POINTER, Runtime

PERMIT = 'entity User\naction read on User\npermit read on User as everybody "All" cites "none"\n'
FORBID = 'module closed\nforbid read on User as nobody "None" cites "none"\n'


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    directory = tmp_path / "policies"
    directory.mkdir()
    (directory / "a-permits.ward").write_text(PERMIT)
    return directory


def builder(policies: Path, settle_seconds: float) -> tuple[Builder, Runtime]:
    runtime = Runtime(policies.parent / "runtime")
    runtime.directory.mkdir()
    return Builder(policies, runtime, settle_seconds), runtime


def test_the_first_set_has_to_rest_too_so_that_half_a_copy_is_never_active(policies: Path) -> None:
    maker, runtime = builder(policies, 60.0)
    now = time.time()
    for _ in range(4):
        assert not maker.step(now)
    (policies / "b-forbids.ward").write_text(FORBID)
    for _ in range(4):
        assert not maker.step(time.time())
    assert runtime.read(POINTER) == {}
    assert maker.step(time.time() + 3.0)  # But not a minute: until then everything is denied.
    assert runtime.read(POINTER)["rules"] == 2


def test_a_directory_that_never_rests_is_stale(policies: Path) -> None:
    maker, runtime = builder(policies, 0.0)
    maker.step(1.0)
    assert maker.step(1.0)
    (policies / "b-forbids.ward").write_text(FORBID)
    for number in range(80):
        (policies / "editor.swp").write_text(str(number))
        assert not maker.step(2.0 + number / 10)
    status = runtime.read("builder")
    assert status["stale"]
    assert "rest" in status["problem"]
    os.unlink(policies / "editor.swp")
    maker.step(11.0)
    assert maker.step(11.0)
    assert not runtime.read("builder")["stale"]


def test_what_the_settings_say_and_the_set_does_not_know_is_told_and_stays_in_the_status(
    policies: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runtime = Runtime(policies.parent / "runtime")
    runtime.directory.mkdir()
    maker = Builder(policies, runtime, 0.0, lambda found: ["[pep.a]: no"] if len(found.rules) == 1 else [])
    maker.step(1.0)
    assert maker.step(1.0)  # It is active all the same.
    assert runtime.read("builder")["disagreements"] == ["[pep.a]: no"]
    assert "WARNING: [pep.a]: no" in capfd.readouterr().err
    (policies / "b-forbids.ward").write_text(FORBID)
    maker.step(2.0)
    assert maker.step(2.0)
    assert runtime.read("builder")["disagreements"] == []


def test_the_texts_of_a_policy_set_are_kept_by_its_digest_and_tried_again_until_they_are(policies: Path) -> None:
    runtime = Runtime(policies.parent / "runtime")
    runtime.directory.mkdir()
    kept: list[tuple[str, dict[str, str]]] = []
    answers = [False, False, True]

    def keep(digest: str, texts: Mapping[str, str]) -> bool:
        kept.append((digest, dict(texts)))
        return answers.pop(0)

    maker = Builder(policies, runtime, 0.0, keep=keep)
    maker.step(1.0)
    assert maker.step(1.0)
    for _ in range(3):
        maker.step(2.0)
    assert kept == [(runtime.read(POINTER)["digest"], {"a-permits.ward": PERMIT})] * 3


def test_what_cannot_be_put_on_record_is_said_once_until_it_changes(capfd: pytest.CaptureFixture[str]) -> None:
    once = Once("it works again")
    for problem in ("", "no space", "no space", "gone", "", "", "gone"):
        once(problem)
    said = [line for line in capfd.readouterr().err.splitlines() if line]
    assert [line.rpartition(": ")[2] for line in said] == ["no space", "gone", "it works again", "gone"]


def test_a_full_runtime_directory_ends_no_builder_and_what_was_built_is_published_once_there_is_room(
    policies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker, runtime = builder(policies, 0.0)
    full = [True]
    write_bytes = Runtime.write_bytes

    def limited(self: Runtime, name: str, data: bytes) -> None:
        if full[0]:
            raise OSError(28, "No space left on device")
        write_bytes(self, name, data)

    monkeypatch.setattr(Runtime, "write_bytes", limited)
    for now in (1.0, 1.0, 2.0):
        assert not maker.step(now)
    assert maker.failed
    assert runtime.read(POINTER) == {}
    full[0] = False
    assert maker.step(3.0)
    assert runtime.read(POINTER)["sequence"] == 1
    assert not runtime.read("builder")["stale"]
