"""The privacy officer's commands, as they are typed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.leaf import leaves
from pdp.audit.record import encoded, stamp
from pdp.audit.veil.privacy import Keys, Veil, vault_of
from pdp.cli.main import main
from tests.unit.audit.stories import DAY, MARCH, MINUTE, decided, grown, log, stamped

KEY = "keys/1.vkey"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    directory = tmp_path / "audit"
    log(
        directory,
        decided("nina", "pat-1", id="d-1", at=MARCH),
        decided("nina", "pat-1", id="d-2", at=MARCH + MINUTE, effect="deny", rule=()),
        decided("dora", "pat-2", id="d-3", at=MARCH + DAY),
        decided("dora", "pat-1", id="d-4", at=MARCH + 40 * DAY),
    )
    return directory


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["audit", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]], Mapping[str, Any]]:
    code, out, _ = asked(capsys, *arguments, "--output", "json")
    found = json.loads(out)
    return code, found["rows"], found["summary"]


def test_who_saw_this_patient_in_march_and_were_they_allowed_to(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = asked(capsys, "query", "--directory", str(there), "--patient", "pat-1", "--in", "2026-03")
    assert code == 0
    first, second = out.splitlines()
    for said in (
        "2026-03-01 00:00:00.000Z",
        "user nina",
        "token at envoy",
        "read Record r1 of pat-1",
        "allow permitted",
    ):
        assert said in first
    for said in ("[treated-patient]", "TREAT", "d-1", "#0"):
        assert said in first
    assert "deny no_permit" in second
    assert "2 rows; asked: from 2026-03-01 00:00:00.000Z before 2026-04-01 00:00:00.000Z, times in UTC" in err
    assert "the log has 4 sealed records" in err


def test_each_line_can_be_proven_to_somebody_who_has_only_the_key(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = (there / KEY).read_text().strip()
    to = tmp_path / "proofs"
    asking = ("query", "--directory", str(there), "--patient", "pat-1", "--vkey", key, "--prove", str(to))
    assert asked(capsys, *asking)[0] == 0
    told = json.loads((to / "summary.json").read_text())
    assert [each["decision"] for each in told["lines"]] == ["d-1", "d-2", "d-4"]
    assert told["checkpoint"] == (there / "log/checkpoint").read_text()
    assert told["complete"] is True
    for each in told["lines"]:
        assert asked(capsys, "check-proof", str(to / each["proof"]), "--vkey", key)[0] == 0
    assert to.stat().st_mode & 0o077 == 0


def test_a_line_that_is_not_sealed_yet_has_no_proof_and_it_is_said(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = log(there, decided("nina", "pat-9", id="d-9"), slot=1, seal=False)
    assert writer.seq == 1
    to = tmp_path / "proofs"
    code, out, err = asked(
        capsys, "query", "--directory", str(there), "--patient", "pat-9", "--prove", str(to), "--vkey", str(there / KEY)
    )
    assert code == 4
    assert "not sealed yet" in out
    assert "1 line is not sealed yet and has no proof" in err


def test_an_answer_that_is_not_complete_is_loud_and_has_its_own_code(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log(there, decided("nina", "pat-1", id="d-8", epoch=1, kid="20260301-00000000"), slot=1)
    code, out, err = asked(capsys, "query", "--directory", str(there), "--patient", "pat-7")
    assert (code, out) == (4, "")
    assert "NOT COMPLETE: nobody can tell whether 1 record should be here" in err
    assert "1 locked: " in err
    code, found, summary = rows(capsys, "query", "--directory", str(there), "--patient", "pat-7")
    assert (code, found, summary["complete"], summary["not_judged"]) == (4, [], False, {"locked": 1})


def test_a_record_that_is_none_is_reported_not_skipped(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = log(there, slot=1)
    grown(there, writer, stamped(writer, '"kind":"decision","patient":"pat-1"'))
    code, out, err = asked(capsys, "query", "--directory", str(there), "--patient", "pat-1")
    assert code == 4
    assert len(out.splitlines()) == 3
    assert "1 malformed: they are no records" in err


def test_ids_of_others_move_no_cursor_and_run_no_formula(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [
        "\x1b[2J\x1b]0;owned\x07",
        "=cmd|'/C calc'!A0",
        "+1+1",
        "-2",
        "@SUM(A1)",
        "\t=1",
        " =1",
        'a"b,c\r\n=d',
        "\u202e",
    ]
    log(tmp_path, *(decided(name, name, id=name, pep=name, purpose=name, rule=(name,)) for name in names))
    _, out, _ = asked(capsys, "query", "--directory", str(tmp_path))
    assert len(out.splitlines()) == len(names)
    assert all(each.isprintable() for each in out.splitlines())
    _, out, _ = asked(capsys, "query", "--directory", str(tmp_path), "--output", "csv")
    table = list(csv.reader(io.StringIO(out)))
    assert {len(each) for each in table} == {25}
    assert len(table) == len(names) + 1
    for each in table[1:]:
        for cell in each:
            assert cell.isprintable()
            assert not cell.lstrip().startswith(("=", "+", "-", "@"))
    _, found, _ = rows(capsys, "query", "--directory", str(tmp_path))
    assert [each["decision"] for each in found] == names
    _, out, _ = asked(capsys, "timeline", "--directory", str(tmp_path), "--resource", "Record/r1")
    assert all(each.isprintable() for each in out.splitlines())
    _, out, _ = asked(capsys, "tail", "--directory", str(tmp_path))
    assert all(each.isprintable() for each in out.splitlines())


def test_names_of_proofs_are_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log(tmp_path / "audit", decided(id="../../x"), decided(id="a/b\0"), decided() | {"id": ""})
    to = tmp_path / "to"
    where = ("--directory", str(tmp_path / "audit"), "--vkey", str(tmp_path / "audit" / KEY))
    assert asked(capsys, "query", *where, "--prove", str(to))[0] == 0
    assert sorted(path.name for path in to.iterdir()) == [
        "______x.0.tlog-proof",
        "a_b_.1.tlog-proof",
        "decision.2.tlog-proof",
        "summary.json",
    ]


def test_the_limit_shows_fewer_and_counts_all(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found, summary = rows(capsys, "query", "--directory", str(there), "--limit", "1")
    assert (code, len(found), summary["found"], summary["shown"]) == (0, 1, 4, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "--in", "March"],
        ["query", "--zone", "Mars/Base"],
        ["query", "--in", "2026-03", "--last", "7d"],
        ["timeline"],
        ["tail", "--zone", "Mars/Base"],
        ["query", "--limit", "-1"],
        ["index", "--directory", "nowhere"],
    ],
)
def test_what_cannot_be_asked_is_a_sentence_and_exit_code_2(
    arguments: list[str], there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--directory" not in arguments:
        arguments = [*arguments, "--directory", str(there)]
    code, _, err = asked(capsys, *arguments)
    assert code == 2
    assert err.startswith("pdp: ")


def hidden(directory: Path, veil: Veil, *, slot: int, patient: str = "pat-1", id: str = "e-1") -> None:
    """A decision as a service with keys would write it."""
    members = {
        "v": 1,
        "id": id,
        "kind": "decision",
        "ts": stamp(MARCH),
        "dec": {"effect": "allow", "reason": "permitted", "rule": []},
        "act": {"action": "read", "verb": "R"},
        "res": {"type": "Record", "id_p": veil.name("Record", "r1"), "patient_p": veil.name("Patient", patient)},
        "sub": {"type": "user", "id": "nina"},
    }
    writer = log(directory, slot=slot, seal=False)
    payload = encoded(members, {"res": {"id": "r1"}, "patient": {"id": patient}}, veil, MARCH)
    grown(directory, writer, stamped(writer, payload[1:].decode()))


def test_with_the_keys_of_the_log_ids_are_found_and_shown_and_what_is_asked_is_on_record_by_pseudonym(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    veil = Veil(tmp_path)
    veil.make()
    hidden(tmp_path, veil, slot=0)
    code, found, _ = rows(capsys, "query", "--directory", str(tmp_path), "--patient", "pat-1")
    assert code == 0
    assert [(each["patient"], each["resource"], each["who"]) for each in found] == [("pat-1", "Record r1", "user nina")]
    asked(capsys, "timeline", "--directory", str(tmp_path), "--patient", "pat-1")
    asked(capsys, "tail", "--directory", str(tmp_path), "--patient", "pat-1")
    reads = [leaf for leaf in leaves(tmp_path) if leaf.kind == "audit.read"]
    assert [leaf.members["verb"] for leaf in reads] == ["query", "timeline", "tail"]
    for leaf in reads:
        assert b"pat-1" not in leaf.payload
        assert leaf.members["asked"]["patient"] == [veil.name("Patient", "pat-1")]
    vault = vault_of(tmp_path)
    assert vault is not None
    opened = [leaf.detail for leaf in leaves(tmp_path, Keys(vault)) if leaf.kind == "audit.read"]
    assert all(each == {"asked": {"patient": "pat-1"}} for each in opened)


def test_what_cannot_be_put_on_record_is_not_read(
    there: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pdp.audit import tell
    from pdp.audit.evidence import EvidenceError

    def refuse(*_: object, **__: object) -> str:
        raise EvidenceError("no space")

    monkeypatch.setattr(tell, "tell", refuse)
    for verb in ("query", "tail", "timeline", "index"):
        code, out, err = asked(
            capsys, verb, "--directory", str(there), *(["--patient", "x"] if verb == "timeline" else [])
        )
        assert (code, out) == (2, "")
        assert "so it is not done" in err


def test_the_index_is_made_used_and_checked(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("duckdb")
    log(there, *(decided("u", f"pat-{number}", id=f"m-{number}") for number in range(300)), slot=2)
    where = ("--directory", str(there))
    asking = ("query", *where, "--decision", "m-77", "-v")
    code, out, err = asked(capsys, *asking)
    assert "the index is not used: there is none" in err
    assert asked(capsys, "index", *where)[0] == 0
    again = asked(capsys, *asking)
    assert again[:2] == (code, out)
    assert "1 are looked at" in again[2]
    assert "the index" not in asked(capsys, *asking, "--scan")[2]
    assert asked(capsys, "index", *where, "--check")[0] == 0
    path = next((there / "index").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-9])
    assert asked(capsys, "index", *where, "--check")[0] == 1
    assert asked(capsys, *asking)[:2] == (code, out)


def test_a_timeline_for_programs(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = asked(capsys, "timeline", "--directory", str(there), "--patient", "pat-1", "--output", "json")
    events = json.loads(out)["events"]
    assert code == 0
    assert [(each["decision"], each["marks"]) for each in events] == [
        ("d-1", ["first access"]),
        ("d-2", []),
        ("d-4", ["first access"]),
    ]


def test_the_last_lines(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = asked(capsys, "tail", "--directory", str(there), "-n", "2", "--output", "json")
    assert code == 0
    assert [json.loads(line)["decision"] for line in out.splitlines()] == ["d-3", "d-4"]
    assert asked(capsys, "tail", "--directory", str(there), "-n", "0")[1] == ""


@pytest.mark.parametrize(
    "verb",
    [
        ["query", "--patient", "pat-1"],
        ["timeline", "--patient", "pat-1"],
        ["tail"],
        ["report", "access", "--patient", "pat-1"],
        ["report", "disclosures", "--patient", "pat-1"],
        ["review", "list"],
        ["case", "list"],
        ["export", "--format", "csv"],
        ["retain", "plan"],
        ["index"],
        ["reconcile", "--access-log", "-"],
    ],
    ids=" ".join,
)
def test_where_no_log_is_nobody_is_told_that_nothing_was_found(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    code, out, err = asked(capsys, *verb, "--directory", str(empty))
    assert (code, out) == (2, "")
    assert "there is no audit log in" in err
    assert not list(empty.iterdir())
    code, out, err = asked(capsys, *verb, "--directory", str(there / "log"))
    assert (code, out) == (2, "")
    assert "is the `log` of an audit directory" in err


def test_a_log_whose_state_was_taken_away_is_not_read_off_the_record(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (there / "wal").mkdir(exist_ok=True)
    (there / "state" / "tree.json").unlink(missing_ok=True)
    code, out, err = asked(capsys, "query", "--directory", str(there), "--patient", "pat-1")
    assert (code, out) == (2, "")
    assert "is not done" in err
    assert "pdp audit repair" in err
