"""What a write-ahead log has done so far, for metrics: plain numbers, added to by its one writing thread."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any, Final

BOUNDS_MICROSECONDS: Final = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 1_000_000)


@dataclass(slots=True)
class Effort:
    """`buckets`: how many batches took how long to be brought to the disk; the last one is for what took longer."""

    batches: int = 0
    poisoned: int = 0
    shed: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MICROSECONDS) + 1))
    microseconds: int = 0

    def took(self, seconds: float) -> None:
        microseconds = int(seconds * 1_000_000)
        self.buckets[bisect_left(BOUNDS_MICROSECONDS, microseconds)] += 1
        self.microseconds += microseconds

    def add(self, other: Effort) -> None:
        self.batches += other.batches
        self.poisoned += other.poisoned
        self.shed += other.shed
        self.buckets = [one + more for one, more in zip(self.buckets, other.buckets, strict=True)]
        self.microseconds += other.microseconds

    def as_json(self) -> dict[str, Any]:
        return {
            "batches": self.batches,
            "poisoned": self.poisoned,
            "shed": self.shed,
            "bounds_microseconds": BOUNDS_MICROSECONDS,
            "buckets": self.buckets,
            "microseconds": self.microseconds,
        }
