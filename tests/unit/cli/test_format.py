"""`pdp format`: writes only what changes, whole or not at all."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path

import pytest

from .conftest import Pdp

MESSY = '# Kept.\nentity User   {name:Text}\naction read on User\npermit read on User as open "All"   when true\n'


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    path = tmp_path / "messy.ward"
    path.write_text(MESSY)
    return path


def test_check_writes_nothing_and_says_so(pdp: Pdp, messy: Path) -> None:
    ran = pdp("format", "--check", messy)
    assert (ran.code, ran.out) == (1, f"would change {messy}\n1 file would change, 0 files as they should be\n")
    assert messy.read_text() == MESSY


def test_diff_shows_and_writes_nothing(pdp: Pdp, messy: Path) -> None:
    ran = pdp("format", "--diff", messy)
    assert ran.code == 0
    assert "-entity User   {name:Text}" in ran.out
    assert messy.read_text() == MESSY
    assert pdp("format", "--diff", "--check", messy).code == 1


def test_a_file_is_written_once_and_then_as_it_should_be(pdp: Pdp, messy: Path) -> None:
    messy.chmod(0o640)
    assert pdp("format", messy.parent).out.splitlines()[0] == f"changed {messy}"
    after = messy.read_text()
    assert after.startswith("# Kept.\n")
    assert stat.S_IMODE(messy.stat().st_mode) == 0o640
    assert pdp("format", "--check", messy.parent).code == 0
    assert messy.read_text() == after
    assert sorted(messy.parent.iterdir()) == [messy]


def test_a_link_stays_a_link(pdp: Pdp, messy: Path) -> None:
    link = messy.parent / "link.ward"
    link.symlink_to(messy)
    pdp("format", link)
    assert link.is_symlink()
    assert messy.read_text() != MESSY


def test_a_file_that_does_not_parse_is_left_alone_and_the_others_are_not(pdp: Pdp, messy: Path) -> None:
    broken = messy.parent / "broken.ward"
    broken.write_text("permit   read")
    ran = pdp("format", messy.parent)
    assert ran.code == 3
    assert "broken.ward:1:" in ran.err
    assert broken.read_text() == "permit   read"
    assert messy.read_text() != MESSY


def test_a_write_that_fails_leaves_the_old_file(pdp: Pdp, messy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_source: str, _target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    ran = pdp("format", messy)
    assert (ran.code, ran.err) == (2, f"pdp: cannot write {messy}: No space left on device\n")
    assert messy.read_text() == MESSY
    assert sorted(messy.parent.iterdir()) == [messy]


def test_standard_input(pdp: Pdp, messy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    given(MESSY.encode())
    ran = pdp("format", "--stdin")
    pdp("format", messy)
    assert (ran.code, ran.out) == (0, messy.read_text())
    given(MESSY.encode())
    assert pdp("format", "--stdin", "--check").code == 1
    given(b"permit")
    assert pdp("format", "--stdin").code == 3
    given(b"\xff")
    assert "standard input is not UTF-8 text (byte 0)" in pdp("format", "--stdin").err
    given(b" " * ((1 << 20) + 1))
    assert "larger than 1 MiB" in pdp("format", "--stdin").err


def test_nothing_to_format_is_usage(pdp: Pdp) -> None:
    assert pdp("format").code == 2
    assert pdp("format", "--stdin", "clinic").code == 2
