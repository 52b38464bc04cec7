"""Threads for the gRPC server: few while they work, more while they wait for something outside.

A few threads serve more requests than many: they share one interpreter. But a call can hold its thread without working:
until its message arrives, or while an identity provider is asked. As soon as all threads are held in this way, another
one is started, so that who waits keeps nobody else waiting.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Final

HELD_SECONDS: Final = 0.01
"""When no call has ended for this long while others wait for a thread, the threads are held."""

IDLE_SECONDS: Final = 5.0

_DONE: Final[Future[Any]] = Future()
_DONE.set_result(None)

Job = tuple[Callable[..., Any], tuple[Any, ...], float]


class Hands(Executor):
    """What `grpc.server` gives its calls to."""

    def __init__(self, usual: int, most: int) -> None:
        self._usual = usual
        self._most = most
        self._jobs: deque[Job] = deque()
        lock = threading.Lock()
        self._given = threading.Condition(lock)
        self._behind = threading.Condition(lock)
        self._local = threading.local()
        self._idle = 0
        self._last_end = time.monotonic()
        self._closed = False
        self._watched = False
        self.hands = 0  # threads
        self.open = 0  # calls that wait or run

    @property
    def waited(self) -> float:
        """For how many seconds the call that runs in this thread has waited for it."""
        return getattr(self._local, "waited", 0.0)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        """Run it soon. What comes of it is the call's own business: nobody looks at the future."""
        with self._given:
            if self._closed:
                raise RuntimeError("closed")
            now = time.monotonic()
            self.open += 1
            self._jobs.append((fn, args, now))
            if self._idle >= len(self._jobs):  # One that was told of another job is still counted as idle.
                self._given.notify()
            elif self.hands < self._usual or self._held(now):
                self._start()
            else:
                self._look_again()
        return _DONE

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """No more calls. Each thread ends when it has nothing more to do."""
        with self._given:
            self._closed = True
            self._given.notify_all()
            self._behind.notify_all()

    def _held(self, now: float) -> bool:
        return now - self._last_end > HELD_SECONDS and self.hands < self._most

    def _look_again(self) -> None:
        """A call that finds all threads busy may be the last one for a while, so somebody else has to look."""
        self._behind.notify()
        if not self._watched:
            self._watched = True
            threading.Thread(target=self._watch, name="hands", daemon=True).start()

    def _start(self) -> None:
        self.hands += 1
        threading.Thread(target=self._work, name="hand", daemon=True).start()

    def _work(self) -> None:
        try:
            while (job := self._next()) is not None:
                fn, args, since = job
                self._local.waited = time.monotonic() - since
                try:
                    fn(*args)
                finally:
                    del job, fn, args
                    with self._given:
                        self.open -= 1
                        self._last_end = time.monotonic()
        finally:
            with self._given:
                self.hands -= 1

    def _next(self) -> Job | None:
        """The job that has waited longest. None when this thread is not needed any more."""
        with self._given:
            while not self._jobs:
                if self._closed:
                    return None
                self._idle += 1
                woken = self._given.wait(IDLE_SECONDS)
                self._idle -= 1
                if not woken and not self._jobs and self.hands > self._usual:
                    return None
            return self._jobs.popleft()

    def _watch(self) -> None:
        while True:
            with self._behind:
                while not self._jobs and not self._closed:
                    self._behind.wait()
                if self._closed:
                    return
            time.sleep(HELD_SECONDS)
            with self._behind:
                if self._jobs and not self._idle and self._held(time.monotonic()):
                    more = max(1, self.hands // 2)  # So that even hundreds that hang are passed in a moment.
                    for _ in range(min(more, len(self._jobs), self._most - self.hands)):
                        self._start()
