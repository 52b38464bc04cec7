"""`pdp audit`: what an auditor types, and what is answered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pdp.audit.checking.findings import Kind
from pdp.cli.main import main
from tests.unit.audit.hosts import ORIGIN, Writer, sealed


@pytest.fixture
def there(tmp_path: Path) -> Path:
    for slot in (0, 1):
        Writer(tmp_path / "audit", slot).write(10)
    sealed(tmp_path / "audit")
    return tmp_path / "audit"


def key_of(directory: Path) -> str:
    return (directory / "keys/1.vkey").read_text().strip()


def test_a_log_that_is_whole(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "verify", str(there), "--vkey", key_of(there)]) == 0
    said = capsys.readouterr()
    assert "nothing was changed" in said.out
    assert f"{ORIGIN}: 20 records under a checkpoint that verifies, 2 checkpoints, 2 streams" in said.out
    assert said.err == ""


def test_the_directory_of_the_settings_is_the_default(
    there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PDP_AUDIT_DIR", str(there))
    assert main(["audit", "verify", "--vkey", key_of(there)]) == 0
    assert "20 records" in capsys.readouterr().out


def test_verify_takes_the_directory_as_the_other_verbs_do(there: Path) -> None:
    assert main(["audit", "verify", "--directory", str(there), "--vkey", key_of(there)]) == 0


def test_the_promise_beside_the_keys_of_the_settings_is_held_against_the_log(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = tmp_path / "older"
    shutil.copytree(there, older)
    Writer(there, 2).write(1)
    sealed(there)
    monkeypatch.setenv("PDP_AUDIT_DIR", str(older))
    monkeypatch.setenv("PDP_AUDIT_KEYS_DIR", str(there / "keys"))
    assert main(["audit", "verify", "--vkey", key_of(there)]) == Kind.SET_BACK.code
    assert main(["audit", "verify", str(older), "--vkey", key_of(there)]) == 0


def test_keys_from_beside_the_log_prove_less_and_it_is_said(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "verify", str(there)]) == 0
    assert "may have replaced them" in capsys.readouterr().err


def test_a_key_may_be_a_file(there: Path) -> None:
    assert main(["audit", "verify", str(there), "--vkey", str(there / "keys/1.vkey")]) == 0


def test_tampering_has_its_exit_code_and_its_sentence(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = there / "log/tile/entries/000.p/20"
    path.write_bytes(path.read_bytes().replace(b'"n":"x"', b'"n":"y"', 1))
    assert main(["audit", "verify", str(there), "--vkey", key_of(there)]) == Kind.CHANGED.code
    said = capsys.readouterr().out
    assert "record-changed: a record is not the one that was sealed: record 0\n" in said
    assert main(["audit", "verify", str(there), "--vkey", key_of(there), "--output", "json"]) == Kind.CHANGED.code
    found = json.loads(capsys.readouterr().out)
    assert (found["exit_code"], found["findings"][0]["kind"]) == (Kind.CHANGED.code, "record-changed")


def test_an_earlier_checkpoint_and_receipts_are_held_against_it(there: Path, tmp_path: Path) -> None:
    shutil.copy(there / "log/checkpoint", tmp_path / "kept")
    (tmp_path / "receipts").write_text(f"{ORIGIN}/0/x:99:0123456789abcdef\n")
    verify = ["audit", "verify", str(there), "--vkey", key_of(there)]
    assert main([*verify, "--checkpoint", str(tmp_path / "kept")]) == 0
    assert main([*verify, "--receipts", str(tmp_path / "receipts")]) == Kind.RECEIPT.code
    other = tmp_path / "other"
    Writer(other).write(1)
    shutil.copytree(there / "keys", other / "keys")
    (other / "keys/promise.json").unlink()
    sealed(other)
    again = ["audit", "verify", str(other), "--vkey", key_of(there), "--checkpoint", str(tmp_path / "kept")]
    assert main(again) == Kind.SET_BACK.code


def test_a_decision_is_proven_to_somebody_who_has_only_the_key(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = key_of(there)
    assert main(["audit", "prove", "d-1-7", "--directory", str(there), "--vkey", key, "--to", str(tmp_path)]) == 0
    capsys.readouterr()
    path = tmp_path / "d-1-7.tlog-proof"
    shutil.rmtree(there)
    assert main(["audit", "check-proof", str(path), "--vkey", key]) == 0
    said = capsys.readouterr().out
    assert '"id":"d-1-7"' in said
    assert f"proven: record 16 of 20 in {ORIGIN}" in said
    path.write_bytes(path.read_bytes().replace(b"index 16", b"index 15"))
    assert main(["audit", "check-proof", str(path), "--vkey", key]) == 1
    assert "not proven" in capsys.readouterr().err


def test_what_is_not_sealed_yet_and_what_never_was_are_told_apart(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Writer(there, 2).write(1)
    prove = ["audit", "prove", "--directory", str(there), "--vkey", key_of(there)]
    assert main([*prove, "d-2-1"]) == 1
    assert "not sealed yet" in capsys.readouterr().err
    assert main([*prove, "d-9-9"]) == 1
    assert "there is no record" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "nowhere"],
        ["verify", ".", "--vkey", "a+b"],
        ["verify", ".", "--vkey", "nowhere"],
        ["prove", "../x", "--directory", "."],
        ["check-proof", "nowhere", "--vkey", "a+b+c"],
        [],
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_exit_code_2(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["audit", *arguments]) == 2


def test_help_lists_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["audit", "verify", "--help"])
    said = capsys.readouterr().out
    assert all(f"{kind.code}  {kind.word}" in said for kind in Kind)


def test_the_page_lists_every_exit_code_with_its_sentence() -> None:
    page = (Path(__file__).parents[3] / "docs/audit.md").read_text()
    assert [line for line in page.split("\n") if line[2:4].isdigit()] == [
        f"| {kind.code} | `{kind.word}` | {kind.sentence} |" for kind in Kind
    ]


def test_many_findings_of_one_kind_are_counted_not_listed(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "receipts").write_text("".join(f"{ORIGIN}/0/x:{each}:0123456789abcdef\n" for each in range(99, 150)))
    verify = ["audit", "verify", str(there), "--vkey", key_of(there), "--receipts", str(tmp_path / "receipts")]
    assert main(verify) == Kind.RECEIPT.code
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("receipt-unmatched")]
    assert len(lines) == 21
    assert lines[-1] == "receipt-unmatched: and 31 more; --output json has them"
