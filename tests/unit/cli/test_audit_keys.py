"""`pdp audit keys`: what is listed, what is asked for twice, and what is on record before it is done."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from pdp.audit.leaf import CLEAR, ERASED, Leaf, leaves
from pdp.audit.log import Log, Record
from pdp.audit.tree.sealer import Sealer
from pdp.audit.veil.privacy import Keys, Veil
from pdp.audit.veil.vault import Vault, today
from pdp.cli.auditing import opener, recorded
from pdp.cli.main import main
from pdp.model.decision import Decision, Effect, Reason
from pdp.model.request import Request
from tests.unit.audit.disks import RESERVE, SEGMENT

ORIGIN = "pdp.example/host"
PERMIT = Decision(Effect.ALLOW, Reason.PERMITTED, ("rule",), program_digest="p", data_revision="d")
YESTERDAY, BEFORE = (str(today() - timedelta(days=each)) for each in (1, 2))
DAYS = (0, 1, 2)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A log with a decision on each of the last three days."""
    where = tmp_path / "audit"
    log = Log(where, ORIGIN, veil=Veil(where), segment_bytes=SEGMENT, reserve_bytes=RESERVE)
    for ago in DAYS:
        day = today() - timedelta(days=ago)
        moment = (day.toordinal() - 719_163) * 86_400_000_000 + 1
        request = Request("user", "nina", "read", "record", "r1")
        log.hand([Record(moment, f"id-{ago}", "authzen", "portal", PERMIT, request)]).wait(5)
    log.close()
    sealer = Sealer(where, ORIGIN)
    sealer.step(1_767_225_600_000_000_000)
    sealer.close()
    return where


def opened(where: Path) -> dict[str, str]:
    return {each.id: each.opened for each in leaves(where, Keys(Vault(where / "privacy"))) if each.kind == "decision"}


def told(where: Path) -> list[Leaf]:
    return [each for each in leaves(where) if each.kind.startswith("key.") and "vkey" not in each.members]


def test_keys_are_listed(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "keys", "list", "--directory", str(there)]) == 0
    said = capsys.readouterr().out
    assert "epoch 1 is in use" in said
    assert f"{YESTERDAY}  " in said
    assert main(["audit", "keys", "list", "--directory", str(there), "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pseudonyms"] == [1]
    assert [each["day"] for each in found["days"]] == [
        BEFORE,
        YESTERDAY,
        str(today()),
        str(today() + timedelta(days=1)),
    ]


def test_without_yes_nothing_is_erased_and_it_is_shown_what_would_be(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "keys", "erase", "--before", str(today()), "--directory", str(there)]) == 1
    said = capsys.readouterr()
    assert said.out.count("would be erased") == 2
    assert "nothing was done" in said.err
    assert set(opened(there).values()) == {CLEAR}
    assert told(there) == []


def test_what_is_erased_is_on_record_and_the_log_stays_whole(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "keys", "erase", "--before", str(today()), "--yes", "--directory", str(there)]) == 0
    assert opened(there) == {"id-0": CLEAR, "id-1": ERASED, "id-2": ERASED}
    (said,) = told(there)
    assert (said.kind, len(said.members["kids"])) == ("key.erase", 2)
    capsys.readouterr()
    assert main(["audit", "verify", str(there)]) == 0
    assert main(["audit", "keys", "erase", "--before", str(today()), "--yes", "--directory", str(there)]) == 0
    assert "erased already" in capsys.readouterr().out
    assert len(told(there)) == 1


def test_one_day_is_erased(there: Path) -> None:
    assert main(["audit", "keys", "erase", "--day", YESTERDAY, "--yes", "--directory", str(there)]) == 0
    assert opened(there) == {"id-0": CLEAR, "id-1": ERASED, "id-2": CLEAR}


@pytest.mark.parametrize(
    "given",
    [
        ["--day", str(today())],
        ["--day", str(today() + timedelta(days=1))],
        ["--before", str(today() + timedelta(days=1))],
        ["--before", "2026-02-30"],
        ["--before", "20260101"],
        ["--day", "yesterday"],
        [],
        ["--day", YESTERDAY, "--before", YESTERDAY],
    ],
)
def test_a_day_that_is_not_over_or_is_none_is_not_erased(there: Path, given: list[str]) -> None:
    try:
        code = main(["audit", "keys", "erase", *given, "--yes", "--directory", str(there)])
    except SystemExit as ending:
        code = ending.code  # type: ignore[assignment]
    assert code != 0
    assert set(opened(there).values()) == {CLEAR}


def test_nothing_is_erased_that_cannot_be_put_on_record(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (there / "wal").glob("2*"):
        path.rename(path.with_name("aside"))
    (there / "wal/200").write_text("in the way")
    assert main(["audit", "keys", "erase", "--before", str(today()), "--yes", "--directory", str(there)]) != 0
    assert "not done" in capsys.readouterr().err
    (there / "wal/200").unlink()
    assert set(opened(there).values()) == {CLEAR}


def test_rotations_are_on_record_and_change_nothing_for_who_has_the_keys(there: Path) -> None:
    for verb in ("rotate-pseudonyms", "rotate-master", "rotate-pseudonyms"):
        assert main(["audit", "keys", verb, "--directory", str(there)]) == 0
    assert sorted(Vault(there / "privacy").pseudonym_keys()) == [1, 2, 3]
    assert set(opened(there).values()) == {CLEAR}
    assert [(each.kind, each.members["of"]) for each in told(there)] == [
        ("key.rotate", "pseudonyms"),
        ("key.rotate", "master"),
        ("key.rotate", "pseudonyms"),
    ]
    assert main(["audit", "verify", str(there)]) == 0


def test_a_log_without_keys_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "keys", "list", "--directory", str(tmp_path)]) == 2
    assert "names no keys" in capsys.readouterr().err


def test_keys_that_cannot_be_used_are_said(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (there / "privacy/master.key").unlink()
    for verb in ("list", "rotate-pseudonyms", "rotate-master"):
        assert main(["audit", "keys", verb, "--directory", str(there)]) == 1
        assert "master.key" in capsys.readouterr().err
    assert told(there) == []


def test_a_copy_is_opened_with_keys_from_elsewhere(there: Path, tmp_path: Path) -> None:
    (there / "privacy.json").unlink()
    (there / "privacy").rename(tmp_path / "kept")
    (tmp_path / "kept/master.key").rename(tmp_path / "master")
    from argparse import Namespace

    args = Namespace(privacy_dir=str(tmp_path / "kept"), master_key_file=str(tmp_path / "master"))
    found = [each for each in leaves(there, opener(there, args)) if each.kind == "decision"]
    assert {each.opened for each in found} == {CLEAR}


def test_who_reads_without_keys_is_told_so_once(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (there / "privacy/master.key").unlink()
    found = [each for each in leaves(there, opener(there)) if each.kind == "decision"]
    assert {each.opened for each in found} == {"locked"}
    assert capsys.readouterr().err.count("details stay encrypted") == 1


def test_ids_are_encrypted_also_before_a_service_has_made_the_keys(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (there / "privacy.json").unlink()
    shutil.rmtree(there / "privacy")
    monkeypatch.setenv("PDP_AUDIT_DIR", str(there))
    recorded(there, "audit.read", {"verb": "query"}, {"patient": {"id": "pat-100"}})
    (found,) = [each for each in leaves(there, opener(there)) if each.kind == "audit.read"]
    assert found.detail == {"patient": {"id": "pat-100"}}
    assert b"pat-100" not in found.payload


def test_what_a_command_does_is_recorded_with_its_ids_encrypted(there: Path) -> None:
    recorded(there, "audit.read", {"verb": "query"}, {"patient": {"id": "pat-100"}})
    (found,) = [each for each in leaves(there, opener(there)) if each.kind == "audit.read"]
    assert found.detail == {"patient": {"id": "pat-100"}}
    assert b"pat-100" not in found.payload
