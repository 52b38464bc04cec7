"""The metrics of the audit log: of its writers, of the sealer, of witnesses, and of what is shipped elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from pdp.console.source import Source

ALIVE_SECONDS: Final = 10.0
"""What a worker told longer ago says nothing of now."""

WRITERS: Final = {
    "batches": "batches of records that were brought to the disk",
    "poisoned": "segments that are written to no more, because a write or a sync failed",
    "shed": "records refused because too many waited to be written; each made a deny",
}


def metrics(source: Source, now: float) -> Iterator[Metric]:
    """`now`: seconds since the epoch."""
    yield from _writers([each["wal"] for each in source.counters() if "wal" in each], now)
    sealer = source.sealer()
    yield from _sealer(sealer)
    yield from _witnesses(sealer.get("witnesses", {}))
    yield from _targets(source.shipping(), sealer.get("size", 0), now)


def _writers(found: list[dict[str, Any]], now: float) -> Iterator[Metric]:
    for name, help_text in WRITERS.items():
        yield CounterMetricFamily(f"pdp_audit_wal_{name}", help_text, value=sum(each[name] for each in found))
    waiting = sum(each["queued"] for each in found if now - each["at"] < ALIVE_SECONDS)
    yield GaugeMetricFamily("pdp_audit_wal_queued", "records that wait to be brought to the disk", value=waiting)
    help_text = "one write and one sync of a batch, which answers wait for"
    family = HistogramMetricFamily("pdp_audit_wal_sync_seconds", help_text)
    if found:
        bounds = [f"{bound / 1_000_000:g}" for bound in found[0]["bounds_microseconds"]] + ["+Inf"]
        cumulative, running = [], 0
        for bound, counts in zip(bounds, zip(*(each["buckets"] for each in found), strict=True), strict=True):
            running += sum(counts)
            cumulative.append((bound, running))
        family.add_metric([], cumulative, sum(each["microseconds"] for each in found) / 1_000_000)
    yield family


def _sealer(found: dict[str, Any]) -> Iterator[Metric]:
    if found:
        yield GaugeMetricFamily("pdp_audit_sealed_records", "records in the signed log", value=found["size"])
        yield GaugeMetricFamily("pdp_audit_key_epoch", "the number of the key that signs it", value=found["epoch"])
        problem = float(bool(found["problem"]))
        yield GaugeMetricFamily(
            "pdp_audit_sealer_problem", "1 while the log is not sealed as it should be", value=problem
        )


def _witnesses(found: dict[str, Any]) -> Iterator[Metric]:
    lag = GaugeMetricFamily("pdp_witness_lag_records", "sealed records that it has not cosigned", labels=["witness"])
    age = GaugeMetricFamily("pdp_witness_last_success_seconds", "when it cosigned last (Unix time)", labels=["witness"])
    problem = GaugeMetricFamily("pdp_witness_problem", "1 while it does not cosign as it should", labels=["witness"])
    for name, each in sorted(found.items()):
        lag.add_metric([name], max(0, each["lag"]))
        age.add_metric([name], max(0.0, each["at"]))
        problem.add_metric([name], float(bool(each["problem"])))
    yield from (lag, age, problem)


def _targets(found: list[dict[str, Any]], size: int, now: float) -> Iterator[Metric]:
    """Of a target whose process has died the lag goes on growing: it is reckoned from what is sealed, and from now."""
    records = GaugeMetricFamily(
        "pdp_ship_lag_records", "sealed records that the target has not confirmed", labels=["target"]
    )
    seconds = GaugeMetricFamily("pdp_ship_lag_seconds", "for how long the first of them has waited", labels=["target"])
    failures = CounterMetricFamily("pdp_ship_failures", "tries that the target did not confirm", labels=["target"])
    items = CounterMetricFamily("pdp_ship_items", "records or files that were confirmed, some twice", labels=["target"])
    success = GaugeMetricFamily(
        "pdp_ship_last_success_seconds", "when the target confirmed last (Unix time; 0: never)", labels=["target"]
    )
    problem = GaugeMetricFamily("pdp_ship_problem", "1 while something is amiss with the target", labels=["target"])
    alarm = GaugeMetricFamily("pdp_ship_alarm", "1 while that does not go away by itself", labels=["target"])
    for each in found:
        name, silent = [each["name"]], max(0.0, now - each["looked_at"])
        behind = max(each["lag_records"], size - each["next"])
        records.add_metric(name, behind)
        seconds.add_metric(name, each["lag_seconds"] + silent if behind else 0.0)
        failures.add_metric(name, each["failures"])
        items.add_metric(name, each["sent"])
        success.add_metric(name, each["last_success"])
        problem.add_metric(name, float(bool(each["problem"])))
        alarm.add_metric(name, float(bool(each["alarm"])))
    yield from (records, seconds, failures, items, success, problem, alarm)
