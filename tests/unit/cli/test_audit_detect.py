"""`pdp audit detect` and `pdp audit case`, on a log on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.leaf import leaves
from pdp.cli.main import main
from tests.unit.audit.seen import sealed, seen, written

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def told(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(["audit", *arguments, "--directory", str(tmp_path / "audit")])
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return told


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Nina reads her own chart in March, and again in April; omar looks at four whom he has nothing to do with."""
    directory = tmp_path / "audit"
    directory.mkdir()
    written(
        directory,
        seen("2026-03-01T10:00:00Z", "nina", "own", patient="p-nina"),
        *(seen(f"2026-03-02T10:0{each}:00Z", "omar", f"r{each}", patient=f"q{each}") for each in range(5)),
        seen("2026-04-01T10:00:00Z", "nina", "own", patient="p-nina"),
    )
    sealed(directory)
    facts = tmp_path / "facts"
    facts.mkdir()
    (facts / "employees.csv").write_text("staff,patient\nnina,p-nina\n")
    (facts / "appointments.csv").write_text("patient,staff,unit,from,to\nq0,omar,,2026-03-02,2026-03-02\n")
    return directory


def replay(run: Run, directory: Path, *more: str) -> tuple[int, dict[str, Any]]:
    facts = str(directory.parent / "facts")
    code, out, _ = run("detect", "--replay", "--context", facts, "--output", "json", *more)
    return code, json.loads(out)


def kinds(directory: Path) -> list[str]:
    found = [each.kind for each in leaves(directory)]
    return [each for each in found if each not in ("decision", "audit.status", "heartbeat", "key.rotate")]


def test_a_replay_finds_and_writes_only_that_the_log_was_read(run: Run, there: Path) -> None:
    code, said = replay(run, there)
    assert code == 1
    found = [(each["rule"], each["who"]) for each in said["findings"] if each["rule"] != "M20"]
    assert found == [("M5", "nina"), ("M11", "omar"), ("M5", "nina")]
    assert (said["explained"], said["unexplained"]) == ({"appointment": 1}, 6)
    assert said["not_judged"]["M6"] == "needs people"
    assert kinds(there) == ["audit.read"]


def test_a_period_is_judged_by_what_was_learned_before_it(run: Run, there: Path) -> None:
    _, said = replay(run, there, "--in", "2026-04")
    assert [each["rule"] for each in said["findings"] if each["rule"] != "M20"] == ["M5"]


def test_people_read_cases_with_parts_and_whatever_is_not_judged(run: Run, there: Path) -> None:
    code, out, _ = run("detect", "--replay", "--context", str(there.parent / "facts"))
    assert code == 1
    assert "40 for M5 (the own chart)" in out
    assert "not judged: M23" in out
    assert "alerts:" in out


def test_a_rules_file_is_laid_over_the_shipped_one(run: Run, there: Path) -> None:
    mine = there.parent / "mine.toml"
    mine.write_text("[rule.M5]\nenabled = false\n[rule.M20]\nenabled = false\n[rule.M11]\nthreshold = 5\n")
    code, said = replay(run, there, "--rules", str(mine))
    assert (code, said["findings"]) == (0, [])
    mine.write_text("[rule.M5]\npionts = 3\n")
    code, _, err = run("detect", "--replay", "--rules", str(mine))
    assert code == 2
    assert "did you mean `points`" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--replay", "--context", "/nowhere"), "is not a directory"),
        (("--replay", "--rules", "/nowhere"), "cannot be read"),
        (("--replay", "--from", "yesterday"), "yesterday"),
        ((), "--replay"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_said(
    run: Run, there: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = run("detect", *arguments)
    assert code == 2
    assert said in err


def test_recorded_findings_are_cases_once_and_can_be_closed(run: Run, there: Path) -> None:
    replay(run, there, "--record")
    replay(run, there, "--record")
    told = [each for each in leaves(there) if each.kind == "finding" and each.members["rule"] == "M5"]
    assert len(told) == 2
    code, out, _ = run("case", "list", "--output", "json")
    assert code == 0
    mine = [each for each in json.loads(out) if each["who"] == "nina"]
    assert [each["disposition"] for each in mine] == ["open", "open"]
    name = mine[0]["case"]
    code, out, _ = run("case", "show", name)
    assert code == 0
    assert "the own chart" in out
    assert "allow read Record:own Patient:p-nina" in out
    code, out, _ = run("case", "dispose", name, "policy-violation", "--note", "talked to \x1b[31mher")
    assert code == 0
    code, out, _ = run("case", "show", name)
    assert "policy-violation by" in out
    assert "talked to \\x1b[31mher" in out
    code, out, _ = run("case", "list", "--open", "--output", "json")
    assert name not in [each["case"] for each in json.loads(out)]


def test_whoever_looks_at_cases_is_on_record(run: Run, there: Path) -> None:
    replay(run, there, "--record")
    _, out, _ = run("case", "list", "--output", "json")
    name = next(each["case"] for each in json.loads(out) if each["who"] == "nina")
    run("case", "show", name)
    run("case", "dispose", name, "appropriate", "--note", "she works on herself")
    reads = [each.members["verb"] for each in leaves(there) if each.kind == "audit.read"]
    assert sorted(reads) == ["case dispose", "case list", "case show", "detect"]


def test_a_case_that_is_none_and_a_note_that_says_nothing(run: Run, there: Path) -> None:
    assert run("case", "show", "c-none")[0] == 1
    assert run("case", "dispose", "c-none", "breach", "--note", "x")[0] == 1
    assert run("case", "dispose", "c-none", "fine", "--note", "x")[0] == 2
    assert run("case", "list")[:2] == (0, "there are no cases on record\n")
