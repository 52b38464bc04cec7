"""The metrics of all workers as Prometheus reads them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from pdp.console.source import Source

TOTALS = {
    "audit_failures": "records that could not be written; each made a deny",
    "faults": "faults of ours; each made a deny",
    "shed": "requests denied because a worker was overloaded",
    "reloads": "policy sets taken by workers",
    "reload_failures": "policy sets that a worker could not load",
}


class Workers(Collector):
    """Reads the workers' files when it is scraped."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        found = self._source.counters()
        yield _decisions(found)
        yield _latency(found)
        for name, help_text in TOTALS.items():
            yield CounterMetricFamily(f"pdp_{name}", help_text, value=sum(each[name] for each in found))
        yield from self._policy_set()
        yield from self._children()

    def _policy_set(self) -> Iterator[Metric]:
        pointer, builder = self._source.pointer(), self._source.builder()
        if pointer:
            age = max(0.0, time.time() - pointer["built_at"])
            yield GaugeMetricFamily("pdp_policy_set_age_seconds", "since the active policy set was built", value=age)
            yield GaugeMetricFamily("pdp_rules", "rules in the active policy set", value=pointer["rules"])
        stale = max(0.0, time.time() - builder["stale_since"]) if builder.get("stale") else 0.0
        help_text = "for how long the directory has held what is not active; 0 when it is"
        yield GaugeMetricFamily("pdp_policy_set_stale_seconds", help_text, value=stale)

    def _children(self) -> Iterator[Metric]:
        alive = GaugeMetricFamily("pdp_child_alive", "1 while the child process runs", labels=["child"])
        restarts = CounterMetricFamily("pdp_child_restarts", "restarts of the child process", labels=["child"])
        for name, each in self._source.children().items():
            alive.add_metric([name], float(each["alive"]))
            restarts.add_metric([name], each["restarts"])
        restarts.add_metric(["decision-worker"], self._source.worker_restarts())
        yield alive
        yield restarts


def _decisions(found: list[dict[str, Any]]) -> Metric:
    totals: Counter[tuple[str, str, str]] = Counter()
    for each in found:
        for door, effect, reason, count in each["decisions"]:
            totals[door, effect, reason] += count
    family = CounterMetricFamily("pdp_decisions", "answers given", labels=["door", "effect", "reason"])
    for labels, count in sorted(totals.items()):
        family.add_metric(list(labels), count)
    return family


def _latency(found: list[dict[str, Any]]) -> Metric:
    family = HistogramMetricFamily("pdp_request_seconds", "from the arrival of a request to its answer")
    if not found:
        return family
    bounds = [f"{bound / 1_000_000:g}" for bound in found[0]["bounds_microseconds"]] + ["+Inf"]
    cumulative, running = [], 0
    for bound, counts in zip(bounds, zip(*(each["buckets"] for each in found), strict=True), strict=True):
        running += sum(counts)
        cumulative.append((bound, running))
    family.add_metric([], cumulative, sum(each["latency_sum_microseconds"] for each in found) / 1_000_000)
    return family


def exposition(source: Source) -> bytes:
    registry = CollectorRegistry()
    registry.register(Workers(source))
    return bytes(generate_latest(registry))
