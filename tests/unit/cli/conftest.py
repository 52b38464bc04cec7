"""The commands are run in this directory, so that the paths they print are the same everywhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pdp.cli.main import main

HERE = Path(__file__).parent
NOW = ("--now", "2026-03-01T10:00:00Z")


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


Pdp = Callable[..., Ran]


@pytest.fixture
def pdp(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Pdp:
    """Runs a command in process."""
    monkeypatch.chdir(HERE)

    def run(*arguments: str | Path) -> Ran:
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as stop:  # argparse ends so
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """A copy of the clinic, to be spoilt."""
    return Path(shutil.copytree(HERE / "clinic", tmp_path / "clinic"))


def golden(name: str, text: str) -> None:
    """The text is that of the file; PDP_UPDATE_GOLDEN=1 writes it instead, to be reviewed like code."""
    path = HERE / "golden" / name
    if os.environ.get("PDP_UPDATE_GOLDEN") == "1":
        path.write_text(text)
    assert text == path.read_text()
