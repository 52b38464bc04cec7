"""Times, as medians with their spread. Never a bare number from one run."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure for each round: their median, and the 10th and the 90th percentile."""

    median: float
    low: float
    high: float

    def __truediv__(self, other: Spread) -> float:
        return self.median / other.median


def spread(figures: Sequence[float]) -> Spread:
    ordered = sorted(figures)
    return Spread(statistics.median(ordered), percentile(ordered, 10), percentile(ordered, 90))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Of sorted figures, by the nearest rank."""
    return ordered[min(len(ordered) - 1, max(0, round(percent / 100 * (len(ordered) - 1))))]


@contextmanager
def quiet() -> Iterator[None]:
    """No garbage collection while we measure: what exists is frozen, what comes is small."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def per_call(call: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], rounds: int) -> Spread:
    """Microseconds a call: in each round every argument once, each timed alone; the round's figure is its median."""
    with quiet():
        overhead = _clock_cost()
        for each in arguments:
            call(*each)
        return spread([_one_round(call, arguments, overhead) for _ in range(rounds)])


def _one_round(call: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], overhead: int) -> float:
    taken = []
    if len(arguments[0]) == 2:
        for first, second in arguments:
            begin = perf_counter_ns()
            call(first, second)
            taken.append(perf_counter_ns() - begin)
    else:
        for (only,) in arguments:
            begin = perf_counter_ns()
            call(only)
            taken.append(perf_counter_ns() - begin)
    return max(0.0, statistics.median(taken) - overhead) / 1_000


def _clock_cost() -> int:
    """What reading the clock twice costs: it is in every figure, and taken out of it."""
    return int(statistics.median(-perf_counter_ns() + perf_counter_ns() for _ in range(5_000)))


def seconds(work: Callable[[], Any], rounds: int) -> Spread:
    """Seconds of one whole piece of work, garbage collection paused."""
    taken = []
    for _ in range(rounds):
        with quiet():
            begin = perf_counter_ns()
            work()
            taken.append((perf_counter_ns() - begin) / 1e9)
    return spread(taken)
