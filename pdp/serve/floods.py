"""Refusals that anybody can cause in any number must not fill the disk: beyond a few in a second they share a record.

Overload, enforcement points that nobody knows, requests that cannot be parsed; behind a proxy that is known, clients
without a token that counts. Each is answered at once, with the id of
the record that it is counted in; that record is written when its second is over, and says how many it stands for. What
is lost when the process is killed is that number, for one second, and never an allow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final

from pdp.model.decision import Reason

SECOND: Final = 1_000_000
OF_THEIR_OWN: Final = 100
"""Refusals of one kind in one second that get a record each; of overload, which is when records hurt, one."""
STORE: Final = 5_000
PER_SECOND: Final = 10
"""Of all kinds together, of which there are dozens: what is in store, and what comes to it in each second."""


@dataclass(slots=True)
class Flood:
    """The refusals of one kind in one second. `identifier`: of the record that they share; "" while none does."""

    door: str
    pep: str
    reason: Reason
    detail: str
    second: int
    now: int = 0  # when the first was that the record stands for; microseconds since the epoch
    seen: int = 0
    shared: int = 0
    identifier: str = ""


class Floods:
    """One worker's. Safe for threads."""

    def __init__(self, identifier: Callable[[], str]) -> None:
        """`identifier` makes the id of a record."""
        self._identifier = identifier
        self._lock = Lock()
        self._current: dict[tuple[str, str, Reason, str], Flood] = {}
        self._over: list[Flood] = []
        self._store, self._stored = float(STORE), 0  # how many more may have their own record, and when that was said

    def shared(self, door: str, pep: str, reason: Reason, detail: str, now: int, room: bool = True) -> str:
        """The id of the record that this refusal shares with others; "": it has a record of its own.

        `room`: could there be one now?
        """
        key, second = (door, pep, reason, detail), now // SECOND
        with self._lock:
            flood = self._current.get(key)
            if flood is None or flood.second != second:
                self._end(key)
                flood = self._current[key] = Flood(*key, second)
            flood.seen += 1
            if room and flood.seen <= (1 if reason is Reason.OVERLOADED else OF_THEIR_OWN) and self._spared(now):
                return ""
            if not flood.shared:
                flood.identifier, flood.now = self._identifier(), now
            flood.shared += 1
            return flood.identifier

    def _spared(self, now: int) -> bool:
        """May one more have a record of its own? A clock that steps back adds nothing, and takes nothing away."""
        self._store = min(float(STORE), self._store + max(0, now - self._stored) * PER_SECOND / SECOND)
        if not 0 <= self._stored - now < SECOND:  # Threads do not come in the order of their times.
            self._stored = now
        if self._store < 1.0:
            return False
        self._store -= 1.0
        return True

    def over(self, now: int, all_of_them: bool = False) -> list[Flood]:
        """Those that are over and were not told yet. To be written down; what cannot be is given `back`."""
        with self._lock:
            for key in [key for key, each in self._current.items() if all_of_them or each.second != now // SECOND]:
                self._end(key)
            over, self._over = self._over, []
            return over

    def back(self, floods: list[Flood]) -> None:
        """They could not be written: told again the next time."""
        with self._lock:
            self._over = floods[:OF_THEIR_OWN] + self._over

    def _end(self, key: tuple[str, str, Reason, str]) -> None:
        flood = self._current.pop(key, None)
        if flood is not None and flood.shared:
            self._over.append(flood)
