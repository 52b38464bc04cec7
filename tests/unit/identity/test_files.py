"""Files that settings name: what is no regular file is refused at once, and nobody waits for it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pdp.identity.files import regular
from pdp.identity.keys import SourceError, file_source
from tests.in_time import in_time


def test_a_regular_file_is_read_to_the_bound_and_one_byte(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to("file")
    assert regular(tmp_path / "file", 10) == regular(tmp_path / "link", 10) == b"0123456789"
    assert regular(tmp_path / "file", 4) == b"01234"


@pytest.mark.parametrize("kind", ["pipe", "held pipe", "device", "socket", "directory", "link to a pipe"])
def test_what_is_no_regular_file_keeps_nobody_waiting(tmp_path: Path, kind: str) -> None:
    path, held = tmp_path / "it", -1
    if "pipe" in kind:
        os.mkfifo(path)
    if kind == "held pipe":  # Somebody has it open, and writes nothing.
        held = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    elif kind == "directory":
        path.mkdir()
    elif kind == "link to a pipe":
        (tmp_path / "link").symlink_to("it")
        path = tmp_path / "link"
    with pytest.raises(OSError):
        in_time(lambda: regular(path, 100))
    with pytest.raises(SourceError, match="cannot be read"):
        in_time(file_source(path))
    if held >= 0:
        os.close(held)
