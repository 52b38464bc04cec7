"""Threads for calls: who waits keeps nobody else waiting. Waits are for conditions, never for a time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from pdp.serve import hands
from pdp.serve.hands import Hands
from tests.service.server import until


@pytest.fixture
def make() -> Iterator[Callable[[int, int], Hands]]:
    made: list[Hands] = []

    def new(usual: int, most: int) -> Hands:
        made.append(Hands(usual, most))
        return made[-1]

    yield new
    for each in made:
        each.shutdown()


def test_every_call_runs_once(make: Callable[[int, int], Hands]) -> None:
    pool, ran = make(3, 3), []
    for number in range(1_000):
        pool.submit(ran.append, number)
    until(lambda: len(ran) == 1_000, "all of them ran")
    assert sorted(ran) == list(range(1_000))
    until(lambda: pool.open == 0, "none is open")
    assert pool.hands <= 3


def test_checklist_31_calls_that_hold_their_threads_hold_nobody_else(make: Callable[[int, int], Hands]) -> None:
    pool, gate, answered = make(2, 64), threading.Event(), threading.Event()
    for _ in range(20):
        pool.submit(gate.wait)
    pool.submit(answered.set)
    until(answered.is_set, "the call behind those that hang")
    assert not gate.is_set()
    assert 2 < pool.hands <= 22
    gate.set()
    until(lambda: pool.open == 0, "none is open")


def test_checklist_31_a_thread_that_was_told_of_a_job_is_told_of_no_other(make: Callable[[int, int], Hands]) -> None:
    pool, gate, answered = make(1, 64), threading.Event(), threading.Event()
    pool.submit(lambda: None)
    until(lambda: pool._idle == 1, "the thread waits for a job")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5)  # So that it has no time to take the first one before the second one is there.
    try:
        pool.submit(gate.wait)
        pool.submit(answered.set)
    finally:
        sys.setswitchinterval(interval)
    until(answered.is_set, "the call behind the one that hangs", seconds=5)
    gate.set()


def test_there_are_never_more_threads_than_may_be(make: Callable[[int, int], Hands]) -> None:
    pool, gate = make(1, 4), threading.Event()
    for _ in range(50):
        pool.submit(gate.wait)
    until(lambda: pool.hands == 4, "four")
    assert pool.open == 50
    gate.set()
    until(lambda: pool.open == 0, "none is open")
    assert pool.hands <= 4


def test_threads_that_are_not_needed_any_more_end(
    make: Callable[[int, int], Hands], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hands, "IDLE_SECONDS", 0.05)
    pool, gate = make(2, 16), threading.Event()
    for _ in range(10):
        pool.submit(gate.wait)
    until(lambda: pool.hands > 2, "more of them")
    gate.set()
    until(lambda: pool.hands == 2, "back to what is usual")


def test_a_call_knows_how_long_it_has_waited(make: Callable[[int, int], Hands]) -> None:
    pool, gate, waited = make(1, 1), threading.Event(), []
    pool.submit(gate.wait)
    pool.submit(lambda: waited.append(pool.waited))
    threading.Timer(0.05, gate.set).start()
    until(lambda: waited, "it ran")
    assert waited[0] >= 0.04
    assert pool.waited == 0.0


def test_a_call_that_raises_costs_no_thread(make: Callable[[int, int], Hands], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    pool, ran = make(1, 1), threading.Event()

    def fail() -> None:
        raise RuntimeError

    pool.submit(fail)
    until(lambda: pool.hands == 0, "its thread ended")
    pool.submit(ran.set)
    until(ran.is_set, "the next one runs")
    assert pool.open == 0 or until(lambda: pool.open == 0, "none is open")


def test_after_the_end_there_is_no_beginning(make: Callable[[int, int], Hands]) -> None:
    pool, ran = make(2, 4), []
    for number in range(50):
        pool.submit(ran.append, number)
    pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit(print)
    until(lambda: len(ran) == 50, "what was there is done")
    until(lambda: pool.hands == 0, "and every thread has ended")
