"""The command itself: what it imports, how it ends, what it says when things go wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pdp.cli import main as command
from pdp.cli.terminal import Paint, count, paint, printable

from .conftest import HERE, Pdp

PDP = [sys.executable, "-m", "pdp"]


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PDP, *arguments], cwd=HERE, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


def test_help_lists_every_command_and_the_exit_codes(pdp: Pdp) -> None:
    said = pdp("--help").out
    assert all(name in said for name in command.COMMANDS)
    assert "exit codes: 0 fine, 1 findings" in said
    assert pdp() == pdp("--help")


def test_help_imports_nothing_heavy() -> None:
    said = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pdp", "--help"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in said.stderr.splitlines()}
    heavy = {"lark", "re2", "orjson", "flask", "gunicorn", "requests", "cachetools", "pdp.language", "pdp.decide"}
    assert not imported & heavy
    assert {each for each in imported if each.startswith("pdp.")} == {"pdp.cli", "pdp.cli.failure", "pdp.cli.main"}


@pytest.mark.parametrize("name", [name for name in command.COMMANDS if name != "serve"])
def test_every_command_has_help_of_its_own(pdp: Pdp, name: str) -> None:
    ran = pdp(name, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"usage: pdp {name}")


def test_a_command_that_is_none_is_usage_and_the_near_one_is_named(pdp: Pdp) -> None:
    ran = pdp("chek", "clinic")
    assert ran.code == 2
    assert "no command 'chek'; did you mean 'check'?" in ran.err


def test_an_option_that_is_none_is_usage(pdp: Pdp) -> None:
    assert pdp("check", "clinic", "--colour").code == 2


def test_the_versions_are_said_by_option_and_by_command(pdp: Pdp) -> None:
    assert pdp("--version").out == pdp("version").out
    assert "Ward 1" in pdp("version").out
    assert "time zones" in pdp("version").out


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    process = subprocess.Popen(
        [*PDP, "explain", "clinic", "--subject", "user:tom", "--action", "read", "--resource", "Record:r1"],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141
    assert said == b""


def test_an_interrupt_is_one_line(pdp: Pdp, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_command: str) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_module", interrupted)
    ran = pdp("version")
    assert (ran.code, ran.err) == (130, "\npdp: interrupted\n")


def test_an_interrupt_of_the_real_thing_is_no_traceback(tmp_path: Path) -> None:
    pipe = tmp_path / "request.json"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [*PDP, "eval", "clinic", "--request", str(pipe)], cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    writing = os.open(pipe, os.O_WRONLY)  # Opens when the command has it open for reading: it now waits.
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    os.close(writing)
    assert process.wait() == 130
    assert said == b"\npdp: interrupted\n"


def test_a_terminal_that_lacks_a_character_gets_it_escaped(tmp_path: Path) -> None:
    (tmp_path / "é.ward").write_text("permit")
    ran = run("check", str(tmp_path), env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert ran.returncode == 3
    assert "\\xe9.ward" in ran.stdout
    assert "Traceback" not in ran.stderr


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert paint(Terminal()).enabled  # type: ignore[arg-type]
    monkeypatch.setenv("NO_COLOR", "1")
    assert not paint(Terminal()).enabled  # type: ignore[arg-type]
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not paint(Terminal()).enabled  # type: ignore[arg-type]
    assert not paint(sys.__stdin__).enabled or os.environ["TERM"] == "dumb"


def test_paint_wraps_or_leaves_alone() -> None:
    assert Paint(True)("red", "no") == "\033[31mno\033[0m"
    assert Paint(False)("red", "no") == "no"


def test_text_of_others_cannot_steer_a_terminal() -> None:
    assert printable("a\x1b[2Jb") == "a\\x1b[2Jb"


def test_counts_read_well() -> None:
    assert [count(1, "rule"), count(2, "rule"), count(1234, "entity")] == ["1 rule", "2 rules", "1,234 entities"]
