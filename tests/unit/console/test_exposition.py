"""What Prometheus is told of limits, certificates and connections, from the files of workers alive and gone."""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from pdp.audit.journal.effort import Effort
from pdp.console.exposition import exposition
from pdp.serve.metrics import Metrics

RULES = Path(__file__).parents[3] / "deploy/prometheus/chaperone.rules.yml"


def told(
    *workers: Metrics, wal: Any = (), sealer: Any = None, shipping: Any = (), children: Any = None
) -> dict[str, float]:
    nothing: dict[str, Any] = {}
    source = SimpleNamespace(
        counters=lambda: [
            *(each.as_json() for each in workers),
            *(Metrics().as_json() | {"wal": each} for each in wal),
        ],
        sealer=lambda: sealer or {},
        shipping=lambda: list(shipping),
        pointer=lambda: nothing,
        builder=lambda: nothing,
        children=lambda: children or nothing,
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


def effort(at: float, queued: int, *seconds: float) -> dict[str, Any]:
    made = Effort(batches=len(seconds), shed=2, poisoned=1)
    for each in seconds:
        made.took(each)
    return made.as_json() | {"queued": queued, "at": at}


def test_writers_add_up_and_what_a_dead_one_left_does_not_wait_for_ever() -> None:
    now = time.time()
    found = told(wal=[effort(now, 5, 0.0002, 0.004), effort(now - 60, 700, 3.0)])
    assert found["pdp_audit_wal_batches_total"] == 3
    assert (found["pdp_audit_wal_shed_total"], found["pdp_audit_wal_poisoned_total"]) == (4, 2)
    assert found["pdp_audit_wal_queued"] == 5
    assert found['pdp_audit_wal_sync_seconds_bucket{le="0.00025"}'] == 1
    assert found['pdp_audit_wal_sync_seconds_bucket{le="0.005"}'] == 2
    assert found['pdp_audit_wal_sync_seconds_bucket{le="+Inf"}'] == found["pdp_audit_wal_sync_seconds_count"] == 3
    assert 3.004 < found["pdp_audit_wal_sync_seconds_sum"] < 3.005


SEALER = {
    "size": 900,
    "epoch": 3,
    "problem": "",
    "witnesses": {"state": {"size": 880, "at": 1_800_000_000, "lag": 20, "problem": "it refuses"}},
}


def test_the_sealer_and_its_witnesses_are_shown() -> None:
    found = told(sealer=SEALER)
    assert (found["pdp_audit_sealed_records"], found["pdp_audit_key_epoch"]) == (900, 3)
    assert found["pdp_audit_sealer_problem"] == 0
    assert found['pdp_witness_lag_records{witness="state"}'] == 20
    assert found['pdp_witness_problem{witness="state"}'] == 1
    assert told(sealer=SEALER | {"problem": "set back"})["pdp_audit_sealer_problem"] == 1
    assert "pdp_audit_sealed_records" not in told()


def target(**more: Any) -> dict[str, Any]:
    usual = {"looked_at": time.time(), "name": "worm", "kind": "s3", "size": 900, "next": 900, "lag_records": 0}
    usual |= {
        "lag_seconds": 0.0,
        "failures": 4,
        "sent": 33,
        "last_success": 1_800_000_000.0,
        "problem": "",
        "alarm": False,
    }
    return usual | more


def test_a_target_that_is_up_to_date_has_no_lag() -> None:
    found = told(sealer=SEALER, shipping=[target()])
    assert found['pdp_ship_lag_records{target="worm"}'] == found['pdp_ship_lag_seconds{target="worm"}'] == 0
    assert (found['pdp_ship_failures_total{target="worm"}'], found['pdp_ship_items_total{target="worm"}']) == (4, 33)
    assert found['pdp_ship_last_success_seconds{target="worm"}'] == 1_800_000_000


def test_the_lag_grows_also_while_nobody_ships() -> None:
    silent = target(looked_at=time.time() - 3_600, size=500, next=500, problem="it does not answer", alarm=True)
    found = told(sealer=SEALER, shipping=[silent])
    assert found['pdp_ship_lag_records{target="worm"}'] == 400
    assert found['pdp_ship_lag_seconds{target="worm"}'] >= 3_600
    assert found['pdp_ship_problem{target="worm"}'] == found['pdp_ship_alarm{target="worm"}'] == 1


def test_every_metric_of_the_alert_rules_is_one_that_we_tell() -> None:
    worker = Metrics()
    worker.tls_seen, worker.tls_expires = 1, 2
    children = {"sealer": {"alive": True, "restarts": 0}}
    found = told(worker, wal=[effort(0.0, 0)], sealer=SEALER, shipping=[target()], children=children)
    known = {each.partition("{")[0] for each in found}
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert len(rules) >= 10
    for rule in rules:
        assert rule.keys() >= {"alert", "expr", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert {"summary", "description"} <= rule["annotations"].keys()
        named = set(re.findall(r"\bpdp_[a-z_]+", rule["expr"]))
        assert named
        assert named <= known, rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
