"""`pdp audit export`: what is asked for, all of it, and on record."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from pdp.audit.leaf import leaves
from pdp.cli.main import main
from tests.unit.audit.hosts import ORIGIN, Writer, sealed

DECISION = (
    ',"ts":"2026-03-0%dT12:00:00Z","dec":{"effect":"allow","reason":"permitted"},"res":{"type":"Record"},'
    '"detail":{"res":{"id":"rec-%d"}}'
)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    writer = Writer(tmp_path / "audit")
    for day in range(1, 6):
        writer.write(1, DECISION % (day, day))
    sealed(tmp_path / "audit")
    writer.write(1, DECISION % (6, 6))
    return tmp_path / "audit"


def exported(there: Path, *more: str) -> list[str]:
    return ["audit", "export", "--directory", str(there), *more]


def test_records_come_one_to_a_line_in_the_order_of_the_log(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(exported(there, "--format", "ocsf", "--kind", "decision")) == 0
    said = capsys.readouterr()
    assert [json.loads(line)["metadata"]["sequence"] for line in said.out.splitlines()] == [1, 2, 3, 4, 5, 6]
    assert "6 records" in said.err
    assert "--first 5" in said.err
    assert "rec-1" not in said.out


def test_a_period_and_a_place_to_begin_at(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--format", "csv", "--kind", "decision", "--sealed", "--first", "1", "--to", "2026-03-04")
    assert main(exported(there, *asked)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("time,kind,")
    assert [line[:10] for line in lines[1:]] == ["2026-03-02", "2026-03-03", "2026-03-04"]


def test_a_record_that_says_no_time_is_not_left_out_of_a_period_in_silence(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Writer(there, 1).write(2, ',"ts":"yesterday"')
    sealed(there)
    assert main(exported(there, "--format", "csv", "--in", "2026-03")) == 1
    assert "2 records say no time" in capsys.readouterr().err
    assert main(exported(there, "--format", "csv")) == 0


def test_a_file_is_new_for_its_owner_alone_and_whole(there: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.ndjson"
    asked = exported(there, "--format", "ecs", "--identities", "--to-file", str(path))
    assert main(asked) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "rec-6" in path.read_text()
    before = path.read_bytes()
    assert main(asked) == 2
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["audit", "out.ndjson"] or len(list(tmp_path.iterdir())) == 2


def test_that_it_was_exported_is_on_record_before_it_is(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(exported(there, "--format", "raw", "--kind", "audit.read")) == 0
    (line,) = capsys.readouterr().out.splitlines()
    asked = json.loads(line)["asked"]
    assert (asked["format"], asked["identities"]) == ("raw", False)
    assert [each.kind for each in leaves(there)].count("audit.read") == 1


def test_what_cannot_be_put_on_record_is_not_exported(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for slot in range(200, 203):
        (there / "wal" / str(slot)).write_text("in the way")
    code = main(exported(there, "--format", "raw"))
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert "cannot be put on record" in said.err


def test_a_log_in_clear_leaves_unchanged_only_with_identities(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = Writer(there, 3, ORIGIN)
    writer.write_these([writer.payload()])
    path = tmp_path / "out.ndjson"
    assert main(exported(there, "--format", "raw", "--to-file", str(path))) == 2
    assert "--identities" in capsys.readouterr().err
    assert not path.exists()
    assert main(exported(there, "--format", "raw", "--identities", "--to-file", str(path))) == 0


def test_a_heartbeat_is_left_out_unless_it_is_asked_for(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = Writer(there, 3, ORIGIN)
    writer.write_these([writer.payload().replace(b'"decision"', b'"heartbeat"')])
    assert main(exported(there, "--format", "raw", "--identities")) == 0
    assert "heartbeat" not in capsys.readouterr().out
    assert main(exported(there, "--format", "raw", "--identities", "--kind", "heartbeat")) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("more", [("--first", "-1"), ("--format", "xml"), ("--in", "soon")])
def test_a_wrong_command_line_exports_nothing(
    there: Path, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(exported(there, "--format", "raw", *more))
    except SystemExit as ended:
        code = ended.code  # type: ignore[assignment]
    assert (code, capsys.readouterr().out) == (2, "")
    assert "audit.read" not in [each.kind for each in leaves(there)]
