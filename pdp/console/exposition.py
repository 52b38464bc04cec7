"""The metrics of all workers as Prometheus reads them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from pdp.console import evidence
from pdp.console.source import Source

TOTALS = {
    "audit_failures": "records that could not be written; each made a deny",
    "audit_emergencies": "permits that were recorded on the second disk, since the log could not be written",
    "faults": "faults of ours; each made a deny",
    "shed": "requests denied because a worker was overloaded",
    "reloads": "policy sets taken by workers",
    "reload_failures": "policy sets that a worker could not load",
    "tls_reloads": "certificates or authorities taken by workers while they run",
    "tls_reload_failures": "certificates or authorities that a worker could not take; those that were in use stay",
    "tls_handshake_failures": "TLS handshakes over HTTP that failed: no certificate, or one that is not trusted",
    "connections_refused": "connections ended because a worker had too many",
    "slow_heads": "connections ended because the head of a request took too long",
    "malformed": "requests that the HTTP parser refused",
    "no_door": "requests for a path that no door has; each got 404",
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
        yield _limited(found)
        yield _unknown_peps(found)
        yield from _certificate(found)
        yield from self._audit()
        yield from self._policy_set()
        yield from self._children()

    def _audit(self) -> Iterator[Metric]:
        found = self._source.audit()
        yield from evidence.metrics(self._source, time.time())
        for name, key, help_text in (
            ("pdp_audit_free_bytes", "free_bytes", "free on the file system of the audit log"),
            ("pdp_audit_total_bytes", "total_bytes", "size of the file system of the audit log"),
            ("pdp_audit_unsealed_seconds", "unsealed_seconds", "since everything that is written was sealed"),
        ):
            if key in found:
                yield GaugeMetricFamily(name, help_text, value=found[key])

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


def _limited(found: list[dict[str, Any]]) -> Metric:
    totals: Counter[str] = Counter()
    for each in found:
        totals.update(each["limited"])
    family = CounterMetricFamily("pdp_limited", "requests that a limit refused", labels=["limit"])
    for word, count in sorted(totals.items()):
        family.add_metric([word], count)
    return family


def _unknown_peps(found: list[dict[str, Any]]) -> Metric:
    totals: Counter[tuple[str, str]] = Counter()
    for each in found:
        for door, why, count in each["unknown_peps"]:
            totals[door, why] += count
    help_text = "requests of enforcement points that are not known, and why; each was denied"
    family = CounterMetricFamily("pdp_unknown_pep", help_text, labels=["door", "why"])
    for labels, count in sorted(totals.items()):
        family.add_metric(list(labels), count)
    return family


def _certificate(found: list[dict[str, Any]]) -> Iterator[Metric]:
    """Nothing where there is no TLS. The worker that has looked last tells: those that have ended still have a file."""
    _, expires = max(((each["tls_seen"], each["tls_expires"]) for each in found), default=(0, 0))
    if expires:
        days = (expires / 1_000_000 - time.time()) / 86_400
        help_text = "until the certificate in use expires; below 0: it has expired"
        yield GaugeMetricFamily("pdp_tls_certificate_days", help_text, value=days)


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
