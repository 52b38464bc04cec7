"""The way to one target: takes what is next, brings it over, notes that it was confirmed. One at a time, in order.

A step never skips anything. What the target does not confirm is tried again after a pause that doubles; what was
confirmed and could not be noted is noted before anything else is sent.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.ship import cursor
from pdp.audit.ship.cursor import Cursor
from pdp.audit.ship.feed import Feed, hash_at
from pdp.audit.ship.target import Contradicted, Item, Target

IDLE_SECONDS: Final = 1.0
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0


@dataclass(slots=True)
class Told:
    """What is known of one lane. Written by the lane, read by whoever watches it."""

    next: int = 0
    waiting_since: int = 0  # time of the first record that is not confirmed, microseconds; 0: nothing waits
    confirmed_at: int = 0  # microseconds since the epoch
    failures: int = 0
    sent: int = 0  # items, also those sent twice
    problem: str = ""
    alarm: bool = False  # the problem does not go away by itself
    busy_since: float = 0.0  # monotonic seconds; 0: no put is under way


class Lane:
    """One for each target; a lock keeps a second one away. Not for several threads."""

    def __init__(
        self,
        directory: Path,
        name: str,
        origin: str,
        place: str,
        kind: str,
        feed: Feed,
        target: Callable[[], Target],
        *,
        files: Files | None = None,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`target` makes the connection, and is called again after an error. Raises EvidenceError."""
        self._directory = directory
        self._name = name
        self._nothing = Cursor(origin, place, kind)
        self._feed = feed
        self._make = target
        self._target: Target | None = None
        self._files = files or Files()
        self._jitter = jitter
        self._clock = clock
        self._at: Cursor | None = None
        self._noted = False
        self._pause = FIRST_PAUSE_SECONDS
        self.told = Told()
        self._lock = cursor.locked(directory, name, self._files)

    def close(self) -> None:
        self._let_go()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def step(self, now: int, going: Callable[[], bool] = lambda: True) -> float:
        """Ship what is there. How many seconds to wait until the next. `now`: microseconds since the epoch."""
        told = self.told
        try:
            self._ship(now, going)
        except (EvidenceError, OSError) as error:
            self._let_go()
            if self._noted:
                self._at = None  # What the disk has counts, and is compared with the log again.
            told.failures += 1
            told.problem = str(error) if isinstance(error, EvidenceError) else f"{error.strerror or 'the disk failed'}"
            told.alarm = isinstance(error, Contradicted)
            pause = self._pause * (0.5 + self._jitter() / 2)
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            return pause
        finally:
            told.busy_since = 0.0
        told.problem, told.alarm = "", False
        self._pause = FIRST_PAUSE_SECONDS
        return IDLE_SECONDS

    def _ship(self, now: int, going: Callable[[], bool]) -> None:
        at = self._begun()
        self._note(at)
        size = self._feed.size()
        if size < at.next:
            raise Contradicted(f"the log has {size} records, and {at.next} were shipped: it was set back")
        for parcel in self._feed.after(at.next):
            self.told.waiting_since = parcel.time or self.told.waiting_since or now
            if parcel.items:
                self._put(parcel.items)
            self._confirmed(parcel.next, now)
            if not going():
                return

    def _put(self, items: Sequence[Item]) -> None:
        if self._target is None:
            self._target = self._make()
        self.told.busy_since = self._clock()
        self._target.put(items)
        self.told.busy_since = 0.0
        self.told.sent += len(items)

    def _begun(self) -> Cursor:
        """Where it goes on. Raises EvidenceError where that cannot be said, or is not of this log or this target."""
        if self._at is not None:
            return self._at
        found = cursor.read(self._directory, self._name)
        self._noted = found is not None
        if found is None:
            found = self._nothing
        expected = replace(self._nothing, next=found.next, last=found.last, at=found.at)
        if found != expected:
            what = "log" if found.origin != expected.origin else "place"
            raise Contradicted(
                f"the cursor {cursor.DIRECTORY}/{self._name}.json is that of another {what}:"
                " name the section anew, or delete the cursor to send everything"
            )
        size = self._feed.size()
        if found.next > size:
            raise Contradicted(f"the log has {size} records, and {found.next} were shipped: it was set back")
        if found.next and hash_at(self._directory, found.next - 1) != found.last:
            raise Contradicted(f"record {found.next - 1} is not the one that was shipped: the log is another one")
        self._at = found
        self.told.next, self.told.confirmed_at = found.next, found.at
        return found

    def _confirmed(self, index: int, now: int) -> None:
        assert self._at is not None
        last = hash_at(self._directory, index - 1) if index else ""
        self._at = replace(self._at, next=index, last=last, at=now)
        self.told.next, self.told.confirmed_at, self.told.waiting_since = index, now, 0
        self._noted = False
        self._note(self._at)

    def _note(self, at: Cursor) -> None:
        if self._noted:
            return
        try:
            cursor.write(self._directory, self._name, at, self._files)
        except OSError as error:
            raise EvidenceError(f"the cursor cannot be written: {error.strerror}") from error
        self._noted = True

    def _let_go(self) -> None:
        target, self._target = self._target, None
        if target is not None:
            target.close()
