"""For what must never wait: a test that would hang fails instead."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
PATIENCE_SECONDS = 10.0


def in_time(work: Callable[[], T]) -> T:
    """What the work gives, or raises. AssertionError when it is not done in time."""
    given: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            given.append(work())
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    if raised:
        raise raised[0]
    assert given, f"not done in {PATIENCE_SECONDS} s"
    return given[0]
