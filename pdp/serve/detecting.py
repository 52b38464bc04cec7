"""The process that looks for misuse in the log as it grows. It decides nothing, and nobody waits for it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pdp.audit.evidence import EvidenceError
from pdp.config import Settings
from pdp.serve.process import say
from pdp.serve.runtime import Runtime

if TYPE_CHECKING:
    from pdp.audit.detect.watch import Watch
    from pdp.audit.leaf import Opener

STATUS: Final = "detect"
NICE: Final = 10
RETRY_SECONDS: Final = 2.0
SIGNALS: Final = {signal.SIGTERM, signal.SIGINT}


class Detecting:
    """Steps, and what the operator is told of them."""

    def __init__(self, make: Callable[[], Watch], runtime: Runtime, every_seconds: float) -> None:
        self._make, self._runtime, self._every = make, runtime, every_seconds
        self._watch: Watch | None = None
        self._said = ""

    def step(self, now: float) -> float:
        """How many seconds to wait until the next."""
        try:
            if self._watch is None:
                self._watch = self._make()
            more = self._watch.step(now)
        except EvidenceError as error:
            self._watch = None
            self._tell(now, str(error))
            return RETRY_SECONDS
        self._tell(now, self._problem(self._watch))
        return 0.0 if more else self._every

    def end(self, now: float) -> None:
        if self._watch is not None:
            try:
                self._watch.save(now)
            except EvidenceError as error:
                say(f"detection: {error}")

    def _problem(self, watch: Watch) -> str:
        failing = [f"[alert.{name}]: {problem}" for name, problem in sorted(watch.outbox.problems.items())]
        dropped = [f"{watch.outbox.dropped} alerts were dropped: nobody took them"] if watch.outbox.dropped else []
        return "; ".join([*filter(None, [watch.problem]), *failing, *dropped])

    def _tell(self, now: float, problem: str) -> None:
        if problem != self._said:
            say(f"ALARM: detection: {problem}" if problem else "detection goes on")
            self._said = problem
        try:
            self._runtime.write(STATUS, self._status(now, problem))
        except OSError:
            return  # The next step.

    def _status(self, now: float, problem: str) -> dict[str, Any]:
        watch = self._watch
        return {
            "looked_at": now,
            "problem": problem,
            "next": watch.next if watch is not None else 0,
            "findings": watch.findings if watch is not None else 0,
            "alerts": watch.alerts if watch is not None else 0,
            "alerts_waiting": len(watch.outbox.waiting) if watch is not None else 0,
            "not_judged": watch.detector.not_judged() if watch is not None and watch.detector is not None else {},
        }


def main(settings: Settings, runtime: Runtime) -> int:
    """Until TERM; what was learned is kept then."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    os.nice(NICE)
    said = settings.detect
    assert said is not None
    detecting = Detecting(lambda: _watch(settings), runtime, said.every_seconds)
    pause = detecting.step(time.time())
    while signal.sigtimedwait(SIGNALS, pause) is None:
        pause = detecting.step(time.time())
    detecting.end(time.time())
    return 0


def _watch(settings: Settings) -> Watch:
    from pdp.audit.detect.watch import Watch  # Here alone: the parent, and whoever decides, needs none of it.

    assert settings.detect is not None
    return Watch(settings.audit_dir, settings.audit_origin, _opener(settings), settings.detect, settings.alerts)


def _opener(settings: Settings) -> Opener:
    from pdp.audit.leaf import PLAIN
    from pdp.audit.veil.privacy import Keys, vault_of

    found = vault_of(settings.audit_dir, settings.audit_privacy_dir, settings.audit_master_key_file)
    return PLAIN if found is None else Keys(found)


def children(settings: Settings, runtime: Runtime) -> list[tuple[str, Callable[[], int]]]:
    """Where detection is configured: its name and its program."""
    return [] if settings.detect is None else [(STATUS, lambda: main(settings, runtime))]
