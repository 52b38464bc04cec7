"""What is said to the operator never stands in the way of an answer."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]

from pdp.serve.journal import Journal
from pdp.serve.process import say


@contextmanager
def standard_error(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A pipe that is standard error: where it is read, where it is written. Neither read waits."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        yield reader.fileno(), writing


def test_a_line_is_said_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    with standard_error(monkeypatch) as (reading, _):
        say("the log cannot be written\n" + "x" * 9_000)
        assert os.read(reading, 65_536) == b"pdp: the log cannot be written\n" + b"x" * 9_000 + b"\n"


def test_a_reader_that_has_gone_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with standard_error(monkeypatch) as (reading, writing):
        os.dup2(writing, reading)
        say("nobody listens")


def test_a_full_pipe_loses_the_line_and_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with standard_error(monkeypatch) as (reading, writing):
        size = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
        os.write(writing, b"x" * size)
        say("this would wait for ever")
        assert os.read(reading, 2 * size) == b"x" * size


def test_no_standard_error_at_all_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", None)
        say("nowhere")


def test_the_servers_own_log_does_not_wait_either(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(Config())
    assert [type(each).__name__ for each in journal.error_log.handlers] == ["_Saying"]
    with standard_error(monkeypatch) as (reading, writing):
        size = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
        os.write(writing, b"x" * size)
        journal.error("a worker was killed")
        os.read(reading, size)
        journal.error("a worker was killed")
        assert os.read(reading, size) == b"pdp: error: a worker was killed\n"


def test_what_a_client_sent_is_in_no_line_of_the_servers_own_log(capfd: pytest.CaptureFixture[str]) -> None:
    journal = Journal(Config())
    capfd.readouterr()
    journal.warning("Invalid request from ip=::1: Invalid HTTP request line: 'GET /Patient/MRN-1 ?'")
    patient = "-".join(("MRN", "2"))
    try:
        raise ValueError(patient)
    except ValueError as error:
        journal.exception("Error handling request %s %s", "GET", "/timeline?patient=MRN-3")
        journal.exception(error)
    said = capfd.readouterr().err
    assert "MRN" not in said
    assert "Invalid request from ip=::1" in said
    assert said.count("error: ") == 2
    assert said.count('test_process.py", line') == 2


def test_a_flood_of_what_cannot_be_read_is_a_line_in_a_second(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("pdp.serve.journal.monotonic", lambda: now[0])
    journal = Journal(Config())
    capfd.readouterr()
    for _ in range(1_000):
        journal.warning("Invalid request from ip=10.0.0.1: Invalid HTTP method: 'G@T'")
    assert len(capfd.readouterr().err.splitlines()) == 1
    now[0] += 1.0
    journal.warning("Invalid request from ip=10.0.0.1: Invalid HTTP method: 'G@T'")
    assert "999 more" in capfd.readouterr().err
