"""The private directory: one for each server, and none is taken for a dead one's."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from pdp.serve import runtime
from pdp.serve.runtime import open_directory


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_dead_server_has_left_is_removed_and_nothing_else(base: Path) -> None:
    dead, lock = open_directory()
    os.close(lock)
    living, held = open_directory()
    another, other = open_directory()
    assert sorted(base.iterdir()) == sorted([living.directory, another.directory])
    assert not dead.directory.exists()
    os.close(held)
    os.close(other)


def test_checklist_30_a_server_that_is_just_beginning_is_not_taken_for_a_dead_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another one looks between the making of the lock file and the lock."""
    flock, meanwhile = fcntl.flock, []

    def slow(file: int, how: int) -> None:
        if not meanwhile:
            meanwhile.append(True)
            os.close(open_directory()[1])
        flock(file, how)

    monkeypatch.setattr(runtime.fcntl, "flock", slow)
    found, lock = open_directory()
    assert (found.directory / "lock").exists()
    os.close(lock)
