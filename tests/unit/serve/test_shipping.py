"""The process that ships: what it tells, also while its lane is stuck or cannot begin; and `pdp audit ship`."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from pdp.audit.ship.destination import Destination, Folder, Nats
from pdp.cli.main import main as pdp
from pdp.config import Settings
from pdp.serve import shipping
from pdp.serve.runtime import Runtime
from pdp.serve.shipping import STATUS, STUCK_SECONDS, Shipping, children, needed, problems
from tests.unit.audit.hosts import ORIGIN
from tests.unit.audit.ship.takers import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "audit")


@pytest.fixture
def settings(tmp_path: Path, host: Host) -> Settings:
    to = Destination("lines", Folder(tmp_path / "out"))
    return replace(Settings(), audit_dir=host.directory, audit_origin=ORIGIN, shipping=(to,))


@pytest.fixture
def ours(tmp_path: Path, settings: Settings) -> Shipping:
    (tmp_path / "runtime").mkdir()
    return Shipping(settings, settings.shipping[0], Runtime(tmp_path / "runtime"))


def one_round(ours: Shipping) -> None:
    made = ours._lane()
    if made is not None:
        made.step(time.time_ns() // 1_000)
        made.close()


def test_what_is_shipped_is_told(ours: Shipping, host: Host, tmp_path: Path) -> None:
    size = host.grow(30)
    one_round(ours)
    host.grow(5)
    ours.tell()
    status = Runtime(tmp_path / "runtime").read(f"{STATUS}lines")
    assert (status["next"], status["size"], status["lag_records"]) == (size, size + 5, 5)
    assert status["lag_seconds"] > 0
    assert (status["problem"], status["alarm"]) == ("", False)


def test_a_problem_is_said_once_and_its_end_too(
    ours: Shipping, host: Host, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    host.grow(30)
    (tmp_path / "out").write_text("no directory")
    for _ in range(3):
        one_round(ours)
        ours.tell()
    (tmp_path / "out").unlink()
    one_round(ours)
    ours.tell()
    said = capfd.readouterr().err
    assert said.count("[ship.lines]: the directory cannot be written") == 1
    assert said.count("[ship.lines]: it ships again") == 1
    assert "ALARM" not in said


def test_a_second_process_says_that_another_one_ships(ours: Shipping, capfd: pytest.CaptureFixture[str]) -> None:
    made = ours._lane()
    assert made is not None
    one_round(ours)
    ours.tell()
    assert "ALARM: [ship.lines]: another process ships to this target" in capfd.readouterr().err
    made.close()


def test_a_put_that_does_not_come_back_is_noticed(ours: Shipping) -> None:
    assert not ours.stuck()
    ours._told.busy_since = time.monotonic() - STUCK_SECONDS + 60
    assert not ours.stuck()
    ours._told.busy_since -= 61
    assert ours.stuck()


def test_each_target_has_a_process_and_a_missing_extra_is_said_before_the_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime(Path())
    assert children(replace(settings, shipping=()), runtime) == []
    other = Destination("events", Nats(("tls://a",)))
    both = replace(settings, shipping=(*settings.shipping, other))
    assert [name for name, _ in children(both, runtime)] == ["ship-lines", "ship-events"]
    assert problems(both) == []
    monkeypatch.setattr(shipping, "missing", lambda to: f"{to.name} needs it" if to is other else "")
    assert problems(both) == ["events needs it"]


def test_what_must_stay_is_what_a_target_of_the_settings_has_not_confirmed(
    ours: Shipping, host: Host, settings: Settings
) -> None:
    host.grow(30)
    assert needed(settings) == 0
    one_round(ours)
    assert needed(settings) == 30
    assert needed(replace(settings, shipping=())) is None


def test_status_and_once_by_hand(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host.grow(30)
    (tmp_path / "pdp.toml").write_text(
        f'audit_dir = "audit"\naudit_origin = "{ORIGIN}"\n[ship.lines]\nkind = "file"\ndirectory = "out"\n'
    )
    monkeypatch.chdir(tmp_path)
    for name in ("PDP_CONFIG", "PDP_AUDIT_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert pdp(["audit", "ship", "status"]) == 0
    assert "0 of 30 records confirmed, 30 behind; last never; nobody is at it" in capsys.readouterr().out
    assert pdp(["audit", "ship", "once", "lines"]) == 0
    assert "30 items brought over; 30 records are confirmed" in capsys.readouterr().out
    assert pdp(["audit", "ship", "status", "lines", "--output", "json"]) == 0
    assert '"lag": 0' in capsys.readouterr().out
    assert pdp(["audit", "ship", "check", "lines"]) == 2
    assert "cannot be asked for what it holds" in capsys.readouterr().err
    assert pdp(["audit", "ship", "once", "worm"]) == 2
    assert "the settings name: lines" in capsys.readouterr().err
    (tmp_path / "audit/ship/lines.json").write_text("{")
    assert pdp(["audit", "ship", "status"]) == 1
    assert "is damaged" in capsys.readouterr().out
