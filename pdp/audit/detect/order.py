"""The records of many writers as one sequence in time, whichever way they came to be interleaved in the log.

Inside one stream its own order stands, whatever its clock says: only the heads of the streams are compared. A record
waits until others are `margin` newer, and until every writer that says each minute that it lives has come as far, or is
`HOLD` behind: a sealer that catches up brings one after the other. What comes later is taken at once, and counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any, Final

from pdp.audit.detect.access import Event, Note

MAX_WAITING: Final = 100_000
"""Records in memory, whatever the clocks say."""
HOLD: Final = 15 * 60_000_000
"""For how long everybody waits for one writer, in microseconds."""


class Order:
    def __init__(self, margin: int, now: int) -> None:
        """`now`: no record is from after it; one that says so has a wrong clock, and moves nobody else."""
        self._margin, self.now = margin, now
        self._streams: dict[str, deque[Event]] = {}
        self._heads: list[tuple[int, str, int]] = []
        self._waiting = 0
        self.newest = 0
        self._given = 0
        self._living: dict[str, int] = {}  # streams with heartbeats, and their newest time
        self._slowest = 0
        self._began = 0
        self.late = 0

    def put(self, event: Event) -> Iterator[Event]:
        """One more; and those whose turn it is by now."""
        queue = self._streams.get(event.stream)
        if queue is None:
            queue = self._streams[event.stream] = deque()
        if not queue:
            self._lead(event, self.newest)
        queue.append(event)
        self._waiting += 1
        if self.newest < event.time <= self.now:
            self.newest = event.time
            self._began = self._began or event.time
        self._lives(event)
        while self._heads and (self._heads[0][0] <= self._ripe - self._margin or self._waiting > MAX_WAITING):
            yield self._next()

    @property
    def _ripe(self) -> int:
        """Up to when every living writer has come. At the beginning nobody knows yet who they are."""
        if self.newest < self._began + HOLD:
            return self.newest - HOLD
        if not self._living:
            return self.newest
        return max(min(self._slowest, self.newest), self.newest - HOLD)

    def _lives(self, event: Event) -> None:
        stream = event.stream
        known = self._living.get(stream)
        if isinstance(event, Note) and event.kind == "heartbeat":
            if event.said.get("state") == "closing":
                self._living.pop(stream, None)
                self._slowest = min(self._living.values(), default=0)
                return
            self._living[stream] = max(event.time, known or 0)
        elif known is not None:
            self._living[stream] = max(event.time, known)
        else:
            return
        if known is None or known <= self._slowest:
            gone = [each for each, time in self._living.items() if time < self.newest - HOLD]
            for each in gone:
                del self._living[each]  # It comes back with its next heartbeat.
            self._slowest = min(self._living.values(), default=0)

    def until(self, time: int) -> Iterator[Event]:
        """Those whose turn it is when nothing from before `time` is still to come."""
        while self._heads and self._heads[0][0] <= time:
            yield self._next()

    def dump(self) -> list[Any]:
        return [self.newest, self._began, self._living]

    def load(self, said: list[Any]) -> None:
        self.newest, self._began, self._living = said
        self._given = self.newest - HOLD
        self._slowest = min(self._living.values(), default=0)

    def rest(self) -> Iterator[Event]:
        while self._heads:
            yield self._next()

    def first_waiting(self) -> int | None:
        """The lowest index of a record that is sealed and waits."""
        found = (event.place.at for queue in self._streams.values() for event in queue)
        return min((each for each in found if each is not None), default=None)

    def _lead(self, event: Event, else_at: int) -> None:
        """It is the first of its stream now. What says it is from the future stands where it came."""
        time = event.time if event.time <= self.now else else_at
        heappush(self._heads, (time, event.stream, event.seq))

    def _next(self) -> Event:
        time, stream, _ = heappop(self._heads)
        queue = self._streams[stream]
        event = queue.popleft()
        self._waiting -= 1
        if queue:
            self._lead(queue[0], time)
        else:
            del self._streams[stream]
        if time < self._given:
            self.late += 1
        else:
            self._given = time
        return event
