"""How near the log is to its end: how long its records wait to be sealed, how much space it has left.

Each goes up in steps, so that somebody hears of it before it denies anybody: an alarm, then `/ready` is degraded, then
it is 503, and nobody is sent here any more. Who asks all the same is answered for as long as it can be recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from time import monotonic
from typing import Any, Final, NamedTuple

from pdp.audit.journal.space import Space, space
from pdp.config import Settings

STATUS: Final = "audit"
LOOK_SECONDS: Final = 1.0
WAITED_TOO_LONG: Final = 5
"""Times `audit_max_unsealed_seconds`: then it is not ready."""


class Step(IntEnum):
    ALARM = 1
    DEGRADED = 2
    NOT_READY = 3


class Rung(NamedTuple):
    step: Step
    problem: str  # for `/ready`, which is public
    sentence: str  # for the operator


class Ladder:
    """One process's. Looks once a second at most. `started`: since when it runs, seconds since the epoch."""

    def __init__(
        self,
        settings: Settings,
        started: float,
        look: Callable[[Path], Space | None] = space,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._settings = settings
        self._started = started
        self._look = look
        self._clock = clock
        self._looked = -LOOK_SECONDS
        self.space: Space | None = None
        self.unsealed = 0.0  # seconds

    def rungs(self, now: float, sealer: dict[str, Any]) -> list[Rung]:
        """What is amiss. `now`: seconds since the epoch; `sealer`: its status."""
        if self._clock() - self._looked >= LOOK_SECONDS:
            self._looked = self._clock()
            self.space = self._look(self._settings.audit_dir)
        self.unsealed = max(0.0, now - max(self._started, sealer.get("drained_at", 0.0)))
        return [each for each in (self._waiting(), self._room()) if each is not None]

    def _waiting(self) -> Rung | None:
        most = self._settings.audit_max_unsealed_seconds
        if self.unsealed <= most:
            return None
        step = Step.NOT_READY if self.unsealed > WAITED_TOO_LONG * most else Step.DEGRADED
        return Rung(step, "the audit log waits to be sealed", f"records have not been sealed for more than {most} s")

    def _room(self) -> Rung | None:
        settings, there = self._settings, self.space
        if there is None:
            return None
        for step, percent in (
            (Step.NOT_READY, settings.audit_space_stop_percent),
            (Step.DEGRADED, settings.audit_space_low_percent),
            (Step.ALARM, settings.audit_space_warn_percent),
        ):
            if there.percent < percent:
                return Rung(
                    step,
                    "the disk of the audit log is nearly full",
                    f"less than {percent} % of the disk of the audit log is free; once it is full, all is denied",
                )
        return None


class Watch:
    """Says each rung once, when it is reached, and when it is left. One for the whole service."""

    def __init__(self, ladder: Ladder, say: Callable[[str], None]) -> None:
        self._ladder = ladder
        self._say = say
        self._on: dict[str, Step] = {}

    def look(self, now: float, sealer: dict[str, Any]) -> dict[str, Any]:
        """What metrics tell of it."""
        found = {each.problem: each for each in self._ladder.rungs(now, sealer)}
        for problem, rung in found.items():
            if self._on.get(problem) != rung.step:
                said = " (/ready is 503)" if rung.step is Step.NOT_READY else ""
                self._say(f"ALARM: {rung.sentence}{said}")
        for problem in self._on.keys() - found.keys():
            self._say(f"mended: {problem}")
        self._on = {problem: rung.step for problem, rung in found.items()}
        there = self._ladder.space
        room = {} if there is None else {"free_bytes": there.free, "total_bytes": there.total}
        return {"unsealed_seconds": round(self._ladder.unsealed, 3), **room}
