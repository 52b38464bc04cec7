"""A misconfigured enforcement point is told to its operator, without filling standard error, or saying too much."""

from pathlib import Path

import pytest

from pdp.config import Profile
from pdp.serve.metrics import Metrics
from pdp.serve.strangers import MINUTE, Strangers
from tests.unit.serve.test_app import World


def test_the_first_is_told_at_once_and_the_others_once_a_minute_for_each_door() -> None:
    metrics = Metrics()
    strangers = Strangers(metrics)
    strangers.seen("grpc", "wrong-secret")
    (line,) = strangers.lines(1)
    assert "with a secret that is nobody's there asks at the door grpc (wrong-secret); 1 time; all denied" in line
    for _ in range(7):
        strangers.seen("grpc", "wrong-secret")
    strangers.seen("authzen", "no-secret")
    assert [each.split(" asks at the door ")[1][:7] for each in strangers.lines(2)] == ["authzen"]
    assert strangers.lines(MINUTE) == []
    assert "7 times in the last minute" in strangers.lines(MINUTE + 1)[0]
    assert strangers.lines(3 * MINUTE) == []
    assert metrics.unknown_peps == {("grpc", "wrong-secret"): 8, ("authzen", "no-secret"): 1}


def test_a_path_of_no_door_is_counted_and_told_without_the_path(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path, profiles=(Profile("envoy", b"secret-of-the-envoy"),))
    for _ in range(3):
        assert world.ask("GET", b"/Patient/maria").status == 404
    world.app.each_second()
    told = capfd.readouterr().err
    assert "path that no door has; 3 times" in told
    assert "maria" not in told
    assert world.app.worker.metrics.no_door == 3
    assert world.records() == []


def test_what_was_shown_is_never_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path, profiles=(Profile("portal", b"secret-of-the-portal"),))
    world.evaluate(headers=[(b"authorization", b"Bearer not-quite-the-secret")])
    world.app.each_second()
    told = capfd.readouterr().err
    assert "authzen (wrong-secret)" in told
    assert "not-quite" not in told + str(world.records())
