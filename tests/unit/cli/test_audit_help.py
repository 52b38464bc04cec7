"""How the verbs of `pdp audit` are asked: their help, their usage, their forms, and names out of process lists."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdp.audit.leaf import leaves
from pdp.cli.main import _parser, main
from tests.unit.audit.stories import decided, log


def nested(parser: argparse.ArgumentParser, *way: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                yield " ".join((*way, name)), each
                yield from nested(each, *way, name)


AUDIT = next(each for name, each in nested(_parser("audit")) if name == "audit")
VERBS = dict(nested(AUDIT, "audit"))
LEAVES = {
    name: each
    for name, each in VERBS.items()
    if not any(isinstance(action, argparse._SubParsersAction) for action in each._actions)
}


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("name", VERBS)
def test_each_verb_says_what_it_does(name: str) -> None:
    assert VERBS[name].description


@pytest.mark.parametrize("name", LEAVES)
def test_each_verb_that_does_something_says_its_exit_codes(name: str) -> None:
    assert (LEAVES[name].epilog or "").startswith("exit codes: 0 ")


@pytest.mark.parametrize("name", LEAVES)
def test_a_wrong_option_is_answered_with_the_usage_of_its_verb(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    err = refused(capsys, *name.split(), "--wrong")
    assert err.startswith(f"usage: pdp {name} ")


def test_a_wrong_option_before_the_command_is_answered_with_the_usage_of_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert refused(capsys, "--wrong").startswith("usage: pdp [-h]")
    assert refused(capsys, "check", "x", "--wrong").startswith("usage: pdp check ")


@pytest.mark.parametrize("name", LEAVES)
def test_text_is_the_word_and_human_is_taken_too(name: str) -> None:
    for action in LEAVES[name]._actions:
        if "--output" in action.option_strings:
            assert action.default == "text"
            assert action.choices is not None
            assert "text" in action.choices
            assert callable(action.type)
            assert action.type("human") == "text"


@pytest.mark.parametrize("name", LEAVES)
def test_whoever_is_asked_about_may_be_said_on_standard_input(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for action in LEAVES[name]._actions:
        if {"--patient", "--subject", "--resource"} & {*action.option_strings}:
            monkeypatch.setattr("sys.stdin", io.StringIO(" pat-1 \nmore\n"))
            assert callable(action.type)
            assert action.type("-") == "pat-1"
            assert action.type("pat-2") == "pat-2"


def test_a_patient_from_standard_input_is_found_and_on_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log(tmp_path, decided("nina", "pat-1", id="d-1"), decided("nina", "pat-2", id="d-2"))
    monkeypatch.setattr("sys.stdin", io.StringIO("pat-1\nnina\n"))
    assert main(["audit", "query", "--directory", str(tmp_path), "--patient", "-", "--subject", "-"]) == 0
    out = capsys.readouterr().out
    assert "d-1" in out
    assert "d-2" not in out
    read = next(each for each in leaves(tmp_path) if each.kind == "audit.read")
    assert read.detail == {"asked": {"patient": "pat-1", "subject": "nina"}}


@pytest.mark.parametrize("line", ["", "\n", "x" * 5_000])
def test_what_is_no_line_is_no_name(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(line))
    err = refused(capsys, "audit", "query", "--directory", str(tmp_path), "--patient", "-")
    assert "argument --patient" in err
    assert "standard input" in err


def test_a_disclosure_to_nobody_is_not_put_on_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log(tmp_path, decided())
    told = ["audit", "disclosure", "add", "--directory", str(tmp_path), "--patient", "pat-1"]
    for more in ([], ["--recipient", "  "], ["--what", "a letter"]):
        assert main([*told, *more]) == 2
        assert "--recipient" in capsys.readouterr().err
    assert not [each for each in leaves(tmp_path) if each.kind == "disclosure"]
    assert main([*told, "--recipient", "Lab"]) == 0
    assert main([*told, "--decision", "d-1"]) == 0
