"""Records that are no decisions, and what is not provable yet, as whoever asks sees them."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.record import stamp
from pdp.cli.main import main
from tests.unit.audit.stories import MARCH, decided, log


def told(kind: str, **said: Any) -> dict[str, Any]:
    return {"v": 1, "id": f"told-{kind}", "kind": kind, "ts": stamp(MARCH), "by": "olga", "n": "0" * 32, **said}


PLACES = {"routine": [3, 4], "emergency": [9]}
SAID = [
    (told("audit.status", event="corruption", segment="7.wal", offset=3), "corruption segment 7.wal offset 3"),
    (
        told(
            "audit.read",
            verb="query",
            asked={"patient": ["p1-a", "p2-b"], "rule": "open-chart", "kinds": ["decision", "decision.results"]},
            detail={"asked": {"patient": "pat-1"}},
        ),
        "query: patient=pat-1 rule=open-chart",
    ),
    (
        told("audit.read", verb="report access", asked={}, detail={"patient": {"type": "Patient", "id": "pat-1"}}),
        "report access: patient=Patient/pat-1",
    ),
    (told("audit.read", verb="tail", asked={"kinds": ["audit.read"]}), "tail: kind=audit.read"),
    (told("policy.activate", bundle={"sha256": "ab" * 32, "version": "7"}, rules=3), "abababababababab 7 rules 3"),
    (told("key.rotate", of="pseudonyms", epoch=2), "pseudonyms epoch 2"),
    (told("key.rotate", epoch=2, vkey="x", before="y"), "the log's key epoch 2"),
    (told("key.erase", kids=["20260301-a", "20260302-b"]), "kids 20260301-a,20260302-b"),
    (
        told("prune", min_index=512, before="2020-01-01T00:00:00Z", hashes="kept", records=512),
        "up to record 512, before 2020-01-01 records 512 hashes kept",
    ),
    (told("audit.hold", reason="case 7", hold={"patient": []}, detail={"hold": {"patient": "pat-1"}}), "patient pat-1"),
    (told("audit.release", of="told-1", reason="over"), "of told-1 reason over"),
    (told("review.sample", items=PLACES, flagged=[1]), "3 drawn, 1 flagged"),
    (told("review.signoff", number=1, review="told-2", result="ok"), "number 1 review told-2 result ok"),
    (told("disclosure", basis="research", date="2026-03-01", detail={"recipient": "Lab"}), "basis research"),
    (told("disclosure.suspend", statement="oral", until="2026-04-01", detail={"agency": "FBI"}), "FBI statement oral"),
    (
        told("finding", rule="vip", title="a VIP", points=9, case="c1", sub={"type": "user", "id": "nina"}),
        "rule vip: a VIP (points 9 case c1), by olga",
    ),
    (told("case", case="c1", score=80, sub={"type": "user", "id": "nina"}), "case c1 score 80, by olga"),
    (told("case.disposition", case="c1", disposition="breach", sub={"type": "user"}), "case c1 disposition breach"),
    (told("heartbeat", state="beating", decisions={"allow": 3, "deny": 0}), "state beating decisions allow=3 deny=0"),
    (told("of.tomorrow", what="something"), "what something"),
]


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["audit", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_record_that_is_no_decision_says_what_it_is_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log(tmp_path, *(members for members, _ in SAID))
    where = ("--directory", str(tmp_path), "--kind", "all")
    for verb in ("query", "tail"):
        lines = asked(capsys, verb, *where, *(["-n", "99"] if verb == "tail" else []))[1].splitlines()
        for line, (members, words) in zip(lines, SAID, strict=False):
            assert f"{members['kind']}: {words}" in line
            assert any(who in line for who in ("nina", "olga", "the log"))
    found = json.loads(asked(capsys, "query", *where, "--output", "json")[1])["rows"]
    table = list(csv.DictReader(io.StringIO(asked(capsys, "query", *where, "--output", "csv")[1])))
    for (_, words), one, other in zip(SAID, found, table, strict=False):
        assert words in one["says"]
        assert words in other["says"]


def test_a_decision_says_nothing_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log(tmp_path, decided())
    found = json.loads(asked(capsys, "query", "--directory", str(tmp_path), "--output", "json")[1])["rows"]
    assert [each["says"] for each in found] == [""]


def test_what_somebody_wrote_as_a_reason_is_short_and_moves_no_cursor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log(tmp_path, told("audit.release", of="x", reason="\x1b[2J" + "y" * 9_000), told("audit.read", asked=7, verb=[]))
    out = asked(capsys, "query", "--directory", str(tmp_path), "--kind", "all")[1]
    assert all(len(each) < 400 and each.isprintable() for each in out.splitlines())


def test_what_no_checkpoint_covers_does_not_look_sealed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log(tmp_path, decided(id="d-1", at=MARCH))
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "log", kept)
    log(tmp_path, decided(id="d-2", at=MARCH + 1), slot=1)
    # As if the sealer had ended between its state and its checkpoint.
    for name in ("checkpoint", "checkpoints"):
        there = tmp_path / "log" / name
        shutil.rmtree(there) if there.is_dir() else there.unlink(missing_ok=True)
        if (kept / name).is_dir():
            shutil.copytree(kept / name, there)
        elif (kept / name).exists():
            shutil.copy(kept / name, there)
    for verb in (["query"], ["tail"], ["timeline", "--patient", "pat-1"]):
        out = asked(capsys, *verb, "--directory", str(tmp_path))[1]
        first, second = (line for line in out.splitlines() if "d-1" in line or "d-2" in line)
        assert "#0" in first
        assert "#" not in second
        assert "not sealed yet" in second


@pytest.fixture
def there(tmp_path: Path) -> Path:
    log(
        tmp_path,
        decided("nina", "pat-1", id="d-1", rule=("open-chart",)),
        decided("dora", "pat-2", id="d-2", rule=(), effect="deny", purpose="BTG", pep="gateway"),
        told("audit.read", verb="tail", asked={}),
    )
    return tmp_path


@pytest.mark.parametrize(
    ("given", "close"),
    [
        (["--rule", "open-chrt"], "did you mean open-chart?"),
        (["--action", "raed"], "read"),
        (["--purpose", "treat"], "TREAT"),
        (["--pep", "gatway"], "gateway"),
        (["--reason", "no_permits"], "no_permit"),
        (["--kind", "audit.raed"], "audit.read"),
        (["--rule", "zzz"], ""),
    ],
    ids=" ".join,
)
def test_a_name_that_no_record_has_is_told_with_what_may_be_meant(
    there: Path, capsys: pytest.CaptureFixture[str], given: list[str], close: str
) -> None:
    code, out, err = asked(capsys, "query", "--directory", str(there), "--patient", "pat-1", *given)
    assert (code, out) == (0, "")
    assert f"pdp: {' '.join(given)}: no record that was looked at has it" in err
    assert ("did you mean " in err and close in err) if close else ("did you mean" not in err)
    assert "--patient" not in err


def test_of_people_and_patients_nobody_is_suggested(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("query", "timeline"):
        _, _, err = asked(capsys, verb, "--directory", str(there), "--subject", "nia", "--patient", "pat-3")
        assert "pdp: --subject: no record that was looked at has it" in err
        assert "pdp: --patient: no record that was looked at has it" in err
        assert "did you mean" not in err
        for name in ("nina", "dora", "pat-1", "pat-2"):
            assert name not in err


def test_where_each_fits_alone_and_only_both_do_not_nothing_is_said(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, err = asked(capsys, "query", "--directory", str(there), "--subject", "nina", "--patient", "pat-2")
    assert "no record" not in err


def test_nothing_is_said_of_somebody_of_whom_nobody_can_tell(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log(there, decided("nina", "pat-1", id="d-8", epoch=1, kid="20260301-00000000"), slot=1)
    _, _, err = asked(capsys, "query", "--directory", str(there), "--patient", "pat-7", "--rule", "open-chrt")
    assert "--patient" not in err
    assert "--rule open-chrt" in err
