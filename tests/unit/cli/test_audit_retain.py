"""`pdp audit retain`, `reconcile` and the options about witnesses, as somebody types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.leaf import leaves
from pdp.audit.tree.keys import published
from pdp.cli import audit_retain
from pdp.cli.main import main
from tests.unit.audit.hosts import sealed
from tests.unit.audit.keeping.test_retention import START, bundles, looked, old, said


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies/hospital").mkdir(parents=True)

    def each(number: int) -> str:
        return said(START + number, "p7" if number == 300 else "p1")

    return old(tmp_path / "audit", 4, each=each)


class Seals:
    """Stands for the service, whose sealer goes on."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self) -> bool:
        sealed(self._directory)
        return True


def retain(directory: Path, *arguments: str) -> int:
    return main(["audit", "retain", *arguments, "--directory", str(directory)])


def test_what_is_held_stays_and_what_is_not_goes(
    there: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_retain, "_Waiting", lambda: Seals(there))
    assert retain(there, "hold", "add", "--patient", "p7", "--reason", "a lawsuit") == 0
    hold = capsys.readouterr().out.strip()
    assert retain(there, "hold", "list") == 0
    assert f"{hold}: patient p7: a lawsuit" in capsys.readouterr().out
    assert retain(there, "plan") == 0
    out = capsys.readouterr().out
    assert f"stays: records 256 to 511: held by {hold}" in out
    assert "would go: 3 bundles with 768 records" in out
    assert bundles(there) == [0, 1, 2, 3, 4]
    assert retain(there, "prune") == 2  # Without --yes nothing is done.
    assert bundles(there) == [0, 1, 2, 3, 4]
    capsys.readouterr()
    assert retain(there, "prune", "--yes") == 0
    assert "taken out: 3 bundles" in capsys.readouterr().out
    assert bundles(there) == [1, 4]
    assert main(["audit", "verify", str(there), "--vkey", str(published(there / "keys")[0])]) == 0
    out = capsys.readouterr().out
    assert "pruned: records below 1024" in out
    assert "1 bundle of them stayed" in out
    assert retain(there, "hold", "release", hold, "--reason", "settled") == 0
    assert retain(there, "prune", "--yes", "--hashes", "drop", "--output", "json") == 0
    text = capsys.readouterr().out
    made: dict[str, Any] = json.loads(text[text.index("{") :])
    assert (made["bundles"], made["min_index"], made["hashes"]) == (1, 1024, "dropped")
    assert bundles(there) == [4]
    assert looked(there).findings == []
    assert retain(there, "prune", "--yes") == 0
    assert "nothing is to go" in capsys.readouterr().out


def test_a_plan_is_a_read_of_the_log_and_says_it(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert retain(there, "plan", "--output", "json") == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["bundles"], made["min_index"], made["kept"], made["holds"]) == (4, 1024, [], [])
    assert [each.members["verb"] for each in leaves(there) if each.kind == "audit.read"] == ["retain plan"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("hold", "add", "--reason", "nothing"),
        ("hold", "add", "--patient", "p", "--subject", "s", "--reason", "both"),
        ("hold", "add", "--from", "yesterday", "--reason", "no time"),
    ],
)
def test_a_hold_that_cannot_be_meant_is_refused(there: Path, arguments: tuple[str, ...]) -> None:
    assert retain(there, *arguments) == 2
    assert not [each for each in leaves(there) if each.kind == "audit.hold"]


def test_what_is_not_held_cannot_be_released(there: Path) -> None:
    assert retain(there, "hold", "release", "told-0", "--reason", "r") == 1


def test_years_are_those_of_the_settings(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (there.parent / "pdp.toml").write_text("[retention]\nyears = 50\n")
    assert retain(there, "plan") == 0
    assert "nothing would go" in capsys.readouterr().out


# --------------------------------------------------------------------------------------------- reconcile, and witnesses


@pytest.mark.parametrize(
    "arguments",
    [
        ("--access-log", "none.log"),
        ("--access-log", "a.log", "--format", "regex"),
        ("--access-log", "a.log", "--pattern", "x"),
        ("--access-log", "a.log", "--format", "regex", "--pattern", "("),
        ("--access-log", "a.log", "--from", "then"),
        ("--access-log", "a.log", "--delay", "0"),
        ("--access-log", "broken.gz"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_refused(there: Path, arguments: tuple[str, ...]) -> None:
    (there.parent / "a.log").write_text("")
    (there.parent / "broken.gz").write_bytes(b"no gzip")
    assert main(["audit", "reconcile", "--directory", str(there), *arguments]) == 2


def test_a_comparison_says_what_it_found_and_no_line(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = '{"time":"2030-01-01T00:00:00Z","status":200,"path":"/Patient/p7","decision":"\\u001b[2J"}\n'
    (there.parent / "a.log").write_text(line + "x" * 70_000 + "\n" + line)
    code = main(["audit", "reconcile", "--directory", str(there), "--access-log", "a.log", "--pep", "envoy"])
    out = capsys.readouterr().out
    assert code == 1
    assert "receipt-unmatched: line 1" in out
    assert "unreadable: line 2" in out
    assert "line 3" in out
    assert "/Patient/p7" not in out
    assert "\x1b[2J" not in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--quorum", "1"),
        ("--witness", "x"),
        ("--policy", "none"),
        ("--policy", "a.policy"),
        ("--witness", "x", "--policy", "y"),
    ],
)
def test_witnesses_that_cannot_be_meant_are_refused(there: Path, arguments: tuple[str, ...]) -> None:
    (there.parent / "a.policy").write_text("quorum nobody\n")
    assert main(["audit", "verify", str(there), *arguments]) == 2


def test_a_witness_that_cannot_be_run_is_refused(there: Path) -> None:
    key = published(there / "keys")[0]
    given = ["audit", "witness", "--state", "s", "--key", "k", "--origin", f"{key.name}={key}"]
    assert main([*given, "--listen", "somewhere"]) == 2
    assert main([*given, "--name", "a b"]) == 2
    assert main([*given[:-1], "x=y"]) == 2
    assert main([*given, "--listen", "192.0.2.1:1"]) == 2


def test_the_plan_names_each_policy_set_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    at = {10: "a" * 64, 300: "b" * 64, 310: "b" * 64}

    def each(number: int) -> str:
        bundle = {"sha256": at.get(number)}
        return said(START + number, kind="policy.activate", bundle=bundle) if number in at else ""

    assert retain(old(tmp_path / "audit", 4, each=each), "plan") == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("keep the policy set")]
    assert told == [f"keep the policy set {'b' * 16}: in effect"]


def test_a_hold_that_is_not_there_says_where_they_are(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert retain(there, "hold", "release", "told-0", "--reason", "settled") == 1
    assert "hold list" in capsys.readouterr().err


def test_a_hold_with_one_end_says_no_other(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert retain(there, "hold", "add", "--from", "2025-11-02", "--reason", "the outage") == 0
    capsys.readouterr()
    assert retain(there, "hold", "list") == 0
    assert ": from 2025-11-02T00:00:00.000000Z: the outage" in capsys.readouterr().out
