"""The process that ships to one target. It ends by itself where a put does not come back, and is started again.

One process for each target: none has to wait for another one. No answer and no sealing waits for any of them.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any, Final

from pdp.audit.evidence import EvidenceError
from pdp.audit.ship import cursor
from pdp.audit.ship.destination import Destination
from pdp.audit.ship.feed import signed
from pdp.audit.ship.lane import Lane, Told
from pdp.audit.ship.targets import lane, missing
from pdp.config import Settings
from pdp.serve.process import say
from pdp.serve.runtime import Runtime

STATUS: Final = "ship-"
LOOK_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 5.0
STUCK_SECONDS: Final = 300.0
END_SECONDS: Final = 5.0
STUCK: Final = 4


class Shipping:
    """Watches one lane, and tells of it. Also of one that is stuck: who watches is not who waits."""

    def __init__(self, settings: Settings, to: Destination, runtime: Runtime) -> None:
        self._settings = settings
        self._to = to
        self._runtime = runtime
        self._end = Event()
        self._told = Told()
        self._problem = "it has not begun"
        self._said = ""
        self._began = time.time()

    def run(self) -> None:
        """In a thread of its own: the lane, until it is told to end."""
        made: Lane | None = None
        pause = 0.0
        while not self._end.wait(pause):
            if made is None:
                made = self._lane()
            pause = RETRY_SECONDS if made is None else made.step(time.time_ns() // 1_000, self._going)
        if made is not None:
            made.close()

    def _lane(self) -> Lane | None:
        try:
            made = lane(self._settings.audit_dir, self._settings.audit_origin, self._to)
        except EvidenceError as error:
            self._problem = str(error)
            return None
        self._told, self._problem = made.told, ""
        return made

    def _going(self) -> bool:
        return not self._end.is_set()

    def end(self) -> None:
        self._end.set()

    def stuck(self) -> bool:
        since = self._told.busy_since
        return bool(since) and time.monotonic() - since > STUCK_SECONDS

    def tell(self) -> None:
        """The status, for metrics, and for the operator what is new."""
        problem = self._problem or self._told.problem
        if problem != self._said:
            alarm = "ALARM: " if self._told.alarm or self._problem else ""
            say(f"{alarm}[ship.{self._to.name}]: {problem}" if problem else f"[ship.{self._to.name}]: it ships again")
            self._said = problem
        try:
            self._runtime.write(f"{STATUS}{self._to.name}", self.status(time.time()))
        except OSError:
            return  # The next second.

    def status(self, now: float) -> dict[str, Any]:
        told = self._told
        try:
            size = signed(self._settings.audit_dir)
        except EvidenceError:
            size = told.next
        waiting = max(0, size - told.next)
        since = told.waiting_since / 1e6 or told.confirmed_at / 1e6 or self._began
        return {
            "looked_at": now,
            "name": self._to.name,
            "kind": self._to.where.kind,
            "size": size,
            "next": told.next,
            "lag_records": waiting,
            "lag_seconds": max(0.0, now - since) if waiting else 0.0,
            "failures": told.failures + (1 if self._problem else 0),
            "sent": told.sent,
            "last_success": told.confirmed_at / 1e6,
            "problem": self._problem or told.problem,
            "alarm": told.alarm or bool(self._problem),
        }


def main(settings: Settings, to: Destination, runtime: Runtime) -> int:
    """Until TERM; what is under way may finish, for some seconds."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    shipping = Shipping(settings, to, runtime)
    thread = Thread(target=shipping.run, name="lane", daemon=True)
    thread.start()
    while signal.sigtimedwait({signal.SIGTERM, signal.SIGINT}, LOOK_SECONDS) is None:
        shipping.tell()
        if shipping.stuck() or not thread.is_alive():
            say(f"ALARM: [ship.{to.name}]: a put has not come back for {STUCK_SECONDS:.0f} s; it begins anew")
            os._exit(STUCK)
    shipping.end()
    thread.join(END_SECONDS)
    shipping.tell()
    return 0


def children(settings: Settings, runtime: Runtime) -> list[tuple[str, Callable[[], int]]]:
    """The name and the program of each process that ships."""
    return [(f"ship-{to.name}", _program(settings, to, runtime)) for to in settings.shipping]


def _program(settings: Settings, to: Destination, runtime: Runtime) -> Callable[[], int]:
    return lambda: main(settings, to, runtime)


def problems(settings: Settings) -> list[str]:
    """What has to be installed before a start."""
    return [found for to in settings.shipping if (found := missing(to))]


def needed(settings: Settings) -> int | None:
    """The lowest index that some target has not confirmed. None: there is no target."""
    return cursor.floor(settings.audit_dir, [to.name for to in settings.shipping])
