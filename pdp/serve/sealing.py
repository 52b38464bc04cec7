"""The sealer process: seals what the workers have written, once a second, and holds the signing key alone.

It decides nothing, and no answer waits for it. What it cannot do is said and shown, and tried again.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from pdp.audit.evidence import EvidenceError
from pdp.audit.tree.sealer import Sealed, Sealer
from pdp.config import Settings
from pdp.serve.emergency import SUFFIX
from pdp.serve.process import say
from pdp.serve.runtime import Runtime
from pdp.serve.witnessing import Witnessing

STATUS: Final = "sealer"
SECOND: Final = "second-sealer"
STEP_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 2.0
LAST_STEPS: Final = 64


class Sealing:
    """Steps, and what `/ready` and the operator are told of them."""

    def __init__(
        self, make: Callable[[], Sealer], runtime: Runtime, witnessing: Witnessing | None = None, name: str = STATUS
    ) -> None:
        """`name`: under which `/ready` finds how it is."""
        self._name = name
        self._make = make
        self._witnessing = witnessing
        self._sealer: Sealer | None = None
        self._runtime = runtime
        self._said: set[str] = set()
        self._last: Sealed | None = None
        self._sealed_at = 0.0
        self._drained_at = 0.0  # when nothing was left to seal
        self._epoch = 0

    def step(self, now: int) -> float:
        """One step. How many seconds to wait until the next."""
        try:
            if self._sealer is None:
                self._sealer = self._make()
            self._last = self._sealer.step(now)
        except EvidenceError as error:
            self.close()  # Perhaps the directory is another one by now: the next step begins from nothing.
            self._tell(now, str(error), [str(error)])
            return RETRY_SECONDS
        self._sealed_at = now / 1e9
        if not self._last.more:
            self._drained_at = self._sealed_at
        if self._witnessing is not None:
            self._witnessing.turn(self._last.size)
        if self._last.epoch != self._epoch:
            self._epoch = self._last.epoch
            say(f"the audit log is signed with {self._sealer.vkey}")
        alarms = list(self._last.alarms)
        self._tell(now, alarms[0] if alarms else "", alarms)
        return 0.0 if self._last.more else STEP_SECONDS

    def close(self) -> None:
        if self._sealer is not None:
            self._sealer.close()
            self._sealer = None

    def _tell(self, now: int, problem: str, alarms: list[str]) -> None:
        for each in alarms:
            if each not in self._said:
                say(f"ALARM: the audit log: {each}")
        if not alarms and self._said:
            say("the audit log is sealed again")
        self._said = set(alarms)
        with suppress(OSError):  # The next step tells it; sealing does not wait for that.
            self._runtime.write(self._name, self._status(now, problem))

    def _status(self, now: int, problem: str) -> dict[str, Any]:
        last = self._last
        return {
            "looked_at": now / 1e9,
            "sealed_at": self._sealed_at,
            "drained_at": self._drained_at,
            "problem": problem,
            "size": last.size if last is not None else 0,
            "epoch": last.epoch if last is not None else 0,
            "witnesses": self._witnessing.status() if self._witnessing is not None else {},
        }


def main(settings: Settings, runtime: Runtime) -> int:
    """Until TERM; then what is there is sealed once more."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    witnessing = Witnessing(settings.witnesses, settings.audit_dir, keys_at=settings.audit_keys_dir)
    chosen: dict[str, Any] = {"keys": settings.audit_keys_dir, "heartbeat_seconds": settings.audit_heartbeat_seconds}
    both = [Sealing(lambda: Sealer(settings.audit_dir, settings.audit_origin, **chosen), runtime, witnessing)]
    second = settings.emergency.audit_dir
    if second is not None:
        every, origin = settings.audit_heartbeat_seconds, settings.audit_origin + SUFFIX
        both.append(Sealing(lambda: Sealer(second, origin, heartbeat_seconds=every), runtime, name=SECOND))
    pause = _step(both)
    while signal.sigtimedwait({signal.SIGTERM, signal.SIGINT}, pause) is None:
        pause = _step(both)
    for _ in range(LAST_STEPS):
        if _step(both):
            break
    for each in both:
        each.close()
    return 0


def _step(both: list[Sealing]) -> float:
    return min([each.step(time.time_ns()) for each in both])
