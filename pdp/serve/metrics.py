"""Counters of one worker. Plain integers on the hot path, shared by threads; written to the runtime directory once a
second.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

from pdp.model.decision import Decision

BOUNDS_MICROSECONDS: Final = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 250_000, 1_000_000)


class Metrics:
    def __init__(self) -> None:
        self.decisions: dict[tuple[str, str, str], int] = {}
        self.buckets = [0] * (len(BOUNDS_MICROSECONDS) + 1)
        self.latency_sum_microseconds = 0
        self.audit_failures = 0
        self.audit_emergencies = 0
        self.faults = 0
        self.shed = 0
        self.reloads = 0
        self.reload_failures = 0
        self.tls_reloads = 0
        self.tls_reload_failures = 0
        self.tls_handshake_failures = 0
        self.tls_seen = 0  # when its files were looked at; microseconds since the epoch
        self.tls_expires = 0  # 0: no TLS
        self.connections_refused = 0
        self.slow_heads = 0
        self.malformed = 0
        self.no_door = 0
        self.unknown_peps: dict[tuple[str, str], int] = {}  # by door and why
        self.limited: dict[str, int] = {}  # by bucket

    def count(self, door: str, decision: Decision) -> None:
        key = (door, decision.effect, decision.reason)
        self.decisions[key] = self.decisions.get(key, 0) + 1

    def took(self, microseconds: int) -> None:
        self.buckets[bisect_left(BOUNDS_MICROSECONDS, microseconds)] += 1
        self.latency_sum_microseconds += microseconds

    def as_json(self) -> dict[str, Any]:
        return {
            "decisions": [[*key, count] for key, count in self.decisions.copy().items()],
            "bounds_microseconds": BOUNDS_MICROSECONDS,
            "buckets": self.buckets,
            "latency_sum_microseconds": self.latency_sum_microseconds,
            "audit_failures": self.audit_failures,
            "audit_emergencies": self.audit_emergencies,
            "faults": self.faults,
            "shed": self.shed,
            "reloads": self.reloads,
            "reload_failures": self.reload_failures,
            "tls_reloads": self.tls_reloads,
            "tls_reload_failures": self.tls_reload_failures,
            "tls_handshake_failures": self.tls_handshake_failures,
            "tls_seen": self.tls_seen,
            "tls_expires": self.tls_expires,
            "connections_refused": self.connections_refused,
            "slow_heads": self.slow_heads,
            "malformed": self.malformed,
            "no_door": self.no_door,
            "unknown_peps": [[*key, count] for key, count in self.unknown_peps.copy().items()],
            "limited": self.limited.copy(),
        }
