"""What an operator is told at start: what is weaker than it could be."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pdp.config import Address, Profile, Settings
from pdp.identity.store import FILE
from pdp.serve import supervisor
from pdp.serve.decisions import Decisions
from pdp.serve.runtime import Runtime
from pdp.serve.supervisor import Supervisor
from tests.service.server import free_port


class _Nothing:
    """In place of the supervisor: starts no child."""

    def __init__(self, *_: Any) -> None:
        pass

    def run(self) -> int:
        return 0


@pytest.fixture(autouse=True)
def _no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "Supervisor", _Nothing)


def told(directory: Path, capfd: pytest.CaptureFixture[str], grpc: bool = True, **changed: Any) -> list[str]:
    """The warnings of a start."""
    settings = Settings(
        policies=directory,
        audit_dir=directory / "audit",
        state_dir=directory / "state",
        http_listen=Address("127.0.0.1", free_port()),
        management_listen=Address("127.0.0.1", free_port()),
        grpc_listen=Address("127.0.0.1", free_port() if grpc else 0),
        **changed,
    )
    capfd.readouterr()
    assert supervisor.serve(settings, lambda *_: None) == 0
    said = [line for line in capfd.readouterr().err.splitlines() if "WARNING" in line]
    return [each.replace(str(settings.http_listen), "HTTP").replace(str(settings.grpc_listen), "GRPC") for each in said]


def about(said: list[str], what: str) -> bool:
    return any(what in each for each in said)


def test_a_start_without_what_was_revoked_is_said_and_one_with_it_is_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert about(told(tmp_path, capfd), "held no revocations")
    assert not about(told(tmp_path, capfd), "held no revocations")
    (tmp_path / "state" / FILE).unlink()
    assert about(told(tmp_path, capfd), "held no revocations")


@pytest.mark.parametrize(
    ("profiles", "http", "grpc"),
    [
        ((Profile("default"),), True, True),
        ((Profile("envoy", doors=frozenset({"grpc"})),), False, True),
        ((Profile("app", doors=frozenset({"authzen"})),), True, False),
        ((Profile("default", secret=b"a" * 16),), False, False),
        ((Profile("app", b"a" * 16), Profile("envoy", doors=frozenset({"grpc"}))), False, True),
    ],
)
def test_each_listener_where_anybody_may_ask_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], profiles: tuple[Profile, ...], http: bool, grpc: bool
) -> None:
    said = told(tmp_path, capfd, profiles=profiles)
    assert (about(said, "reaches HTTP"), about(said, "reaches GRPC")) == (http, grpc)
    assert not about(told(tmp_path, capfd, grpc=False, profiles=profiles), "reaches GRPC")


class _Full(Runtime):
    """The disk is full."""

    def write(self, name: str, value: Any) -> None:
        raise OSError(28, "No space left on device")


def test_a_full_disk_ends_nobody_who_watches(tmp_path: Path) -> None:
    watching = Supervisor(Settings(policies=tmp_path), _Full(tmp_path), 0, 0, lambda *_: None)
    watching._publish()
    watching._look()
    ends = Decisions(Settings(policies=tmp_path), _Full(tmp_path), 0)
    ends._worker_ended(SimpleNamespace(LISTENERS=[1]), SimpleNamespace(pid=1))


def test_what_could_not_be_told_of_the_children_is_told_the_next_second(tmp_path: Path) -> None:
    watching = Supervisor(Settings(policies=tmp_path), _Full(tmp_path), 0, 0, lambda *_: None)
    watching._publish()
    watching._runtime = Runtime(tmp_path)
    watching._look()
    assert (tmp_path / "children").exists()
