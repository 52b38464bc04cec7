"""What Prometheus is told of limits, certificates and connections, from the files of workers alive and gone."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from pdp.console.exposition import exposition
from pdp.serve.metrics import Metrics


def told(*workers: Metrics) -> dict[str, float]:
    nothing: dict[str, Any] = {}
    source = SimpleNamespace(
        counters=lambda: [each.as_json() for each in workers],
        pointer=lambda: nothing,
        builder=lambda: nothing,
        children=lambda: nothing,
        audit=lambda: {"free_bytes": 5, "total_bytes": 10, "unsealed_seconds": 2.5},
        worker_restarts=lambda: 0,
    )
    lines = exposition(source).decode().splitlines()  # type: ignore[arg-type]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_refusals_of_limits_add_up_by_their_word() -> None:
    one, other = Metrics(), Metrics()
    one.limited, other.limited = {"subject-limit": 3}, {"subject-limit": 2, "client-limit": 1}
    found = told(one, other)
    assert found['pdp_limited_total{limit="subject-limit"}'] == 5
    assert found['pdp_limited_total{limit="client-limit"}'] == 1


def test_the_days_of_the_certificate_are_those_that_the_last_look_saw() -> None:
    ended, alive, now = Metrics(), Metrics(), time.time_ns() // 1000
    day = 86_400_000_000
    ended.tls_seen, ended.tls_expires = now - day, now + 300 * day
    alive.tls_seen, alive.tls_expires = now, now + 2 * day
    assert 1.9 < told(ended, alive)["pdp_tls_certificate_days"] < 2.1
    alive.tls_expires = now - day
    assert told(ended, alive)["pdp_tls_certificate_days"] < 0


def test_without_tls_nothing_is_said_of_a_certificate() -> None:
    assert "pdp_tls_certificate_days" not in told(Metrics())
    assert "pdp_tls_certificate_days" not in told()


def test_connections_heads_and_malformed_requests_are_counted() -> None:
    worker = Metrics()
    worker.connections_refused, worker.slow_heads, worker.malformed, worker.tls_reload_failures = 1, 2, 3, 4
    found = told(worker)
    names = ("connections_refused", "slow_heads", "malformed", "tls_reload_failures")
    assert [found[f"pdp_{name}_total"] for name in names] == [1, 2, 3, 4]


def test_unknown_enforcement_points_add_up_by_door_and_by_why() -> None:
    one, other = Metrics(), Metrics()
    one.unknown_peps = {("grpc", "no-secret"): 2}
    other.unknown_peps = {("grpc", "no-secret"): 1, ("opa", "wrong-secret"): 4}
    other.no_door = 5
    found = told(one, other)
    assert found['pdp_unknown_pep_total{door="grpc",why="no-secret"}'] == 3
    assert found['pdp_unknown_pep_total{door="opa",why="wrong-secret"}'] == 4
    assert found["pdp_no_door_total"] == 5


def test_the_space_of_the_log_and_how_long_records_wait_are_told() -> None:
    found = told(Metrics())
    assert (found["pdp_audit_free_bytes"], found["pdp_audit_total_bytes"]) == (5, 10)
    assert found["pdp_audit_unsealed_seconds"] == 2.5
