"""A worker follows the store: what others revoke is in force here within a poll, what is used here is soon written.

One thread does all of it, beside the requests. When the store cannot be read, what is known stays in force; when that
lasts, everybody is denied (`Sessions.judge`), and so it is until it was read for the first time.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Event, Thread
from typing import Final

from pdp.config import Settings
from pdp.identity.files import regular
from pdp.identity.revocations import SECOND, Revocation, lines
from pdp.identity.sessions import Sessions
from pdp.identity.store import Store, StoreError
from pdp.serve.process import say

POLL_SECONDS: Final = 0.2
SAVE_SECONDS: Final = 1.0
FORGET_SECONDS: Final = 3_600.0
STRAY_SECONDS: Final = 60.0
MAX_FILE_BYTES: Final = 64 * 1_048_576
SAID_LINES: Final = 5
WAIT_SECONDS: Final = 0.25
"""For another process that writes."""
MARGIN_SECONDS: Final = 3_600
"""Beyond the longest that a token lives, before what refuses it is forgotten."""


class Following:
    """One worker's. `step` is one look; the waiting is outside."""

    def __init__(self, settings: Settings) -> None:
        chosen = settings.sessions
        self.sessions = Sessions(
            chosen.limits,
            chosen.by_iss(settings.issuers),
            remember_seconds=chosen.remember_seconds,
            unread_seconds=chosen.unread_seconds,
            max_sessions=chosen.in_memory,
        )
        self._directory = settings.state_dir
        self._remember = (chosen.remember_seconds + MARGIN_SECONDS) * SECOND
        self._file = File(chosen.revocations_file) if chosen.revocations_file is not None else None
        self._store: Store | None = None
        self._version = -1
        self._sequence = 0
        self._saved = 0.0
        self._forgot: tuple[float, int] | None = None
        self._problems: dict[str, str] = {}
        self._ended = Event()
        self._thread = Thread(target=self._run, name="sessions", daemon=True)

    def start(self) -> None:
        """Read the store once, then follow it."""
        self.step(time.time_ns() // 1000, time.monotonic())
        self._thread.start()

    def stop(self) -> None:
        """What was used last is written."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(2.0)
        if self._store is not None:
            self._save(self._store, time.time_ns() // 1000)

    def problems(self) -> list[str]:
        """What `/ready` says. Names no file and no person."""
        return sorted(self._problems)

    def able(self, now: int) -> bool:
        """Can sessions be judged, or is everybody denied?"""
        return self.sessions.known(now)

    def _run(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            try:
                self.step(time.time_ns() // 1000, time.monotonic())
            except Exception as error:  # It must go on: were this thread to end, everybody would be denied for good.
                self._note("sessions", f"a fault of ours while following sessions: {type(error).__name__}")

    # -------------------------------------------------------------------------------------------------------- a step

    def step(self, now: int, seconds: float) -> None:
        """Read what is new, then write. `seconds`: of a clock that is never set."""
        stepped = self.sessions.look(now)
        try:
            if self._store is None:
                self._store, before = self._opened()
                stepped = (before, now) if now < before else stepped
            self._read(self._store, now)
            self._note("sessions", self.sessions.trouble())
        except StoreError as error:
            self._note("sessions", str(error))
        if self._file is not None:
            self._take_file(self._file, now)
        if self._store is None:
            return
        if stepped is not None:
            self._settle(self._store, *stepped)
        if seconds - self._saved >= SAVE_SECONDS and self._save(self._store, now):
            self._saved = seconds
        self._forget(self._store, now, seconds)

    def _opened(self) -> tuple[Store, int]:
        """The store, and the latest instant that it was written at."""
        store = Store(self._directory, WAIT_SECONDS)
        before = store.clock()
        self.sessions.opened(Store(self._directory, WAIT_SECONDS))  # A second one: no request waits for a write.
        return store, before

    def _read(self, store: Store, now: int) -> None:
        version = store.version()
        if version != self._version:
            sequence = store.sequence()  # Read first: what comes in between is read twice rather than never.
            if sequence < self._sequence:  # An older state was restored under us: all of it may be new.
                self._sequence = 0
            used = store.sessions(self._sequence) if self._version >= 0 else ()  # At first none is in memory.
            self.sessions.read(store.revocations(self._sequence), used, now)
            self._version, self._sequence = version, sequence
        else:
            self.sessions.read((), (), now)

    def _settle(self, store: Store, high: int, low: int) -> None:
        say(f"the clock was set back by {(high - low) / SECOND:.3f} s; sessions that were over stay over")
        try:
            store.settle(high, low)
        except StoreError as error:
            self._note("sessions cannot be written", str(error))

    def _save(self, store: Store, now: int) -> bool:
        changed = self.sessions.changed()
        try:
            if changed:
                store.save(changed, now)
        except StoreError as error:
            self.sessions.unsaved(changed)
            self._note("sessions cannot be written", str(error))
            return False
        self.sessions.saved()
        self._note("sessions cannot be written", "")
        return True

    def _forget(self, store: Store, now: int, seconds: float) -> None:
        """Each hour, where the clock went as the hour did: one that was set forward must not make us forget."""
        before = self._forgot
        if before is not None and seconds - before[0] < FORGET_SECONDS:
            return
        self._forgot = (seconds, now)
        if before is None or abs((now - before[1]) / SECOND - (seconds - before[0])) > STRAY_SECONDS:
            return
        try:
            store.forget(now, self._remember)
            self.sessions.revoked.replace(store.revocations())
        except StoreError as error:
            self._note("sessions cannot be written", str(error))

    # ------------------------------------------------------------------------------------------------------ the file

    def _take_file(self, file: File, now: int) -> None:
        found = file.new()
        for each in found:  # In force here, whatever becomes of the store.
            self.sessions.revoked.add(each)
        problem = file.problem
        try:
            if found and self._store is None:
                raise StoreError("the file of revocations waits for the store")
            if found and self._store is not None:
                self._store.revoke(found, now)
        except StoreError as error:
            file.again()
            problem = str(error)
        self._note("the file of revocations", problem)

    def _note(self, what: str, problem: str) -> None:
        """Said once, until it is another problem."""
        if self._problems.get(what, "") == problem:
            return
        if problem:
            self._problems[what] = problem
            say(f"ALARM: {problem}")
        else:
            del self._problems[what]
            say(f"mended: {what}")


class File:
    """Revocations in a file, one JSON object on a line. It only ever adds: what is gone from it stays in force."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._signature: tuple[int, int, int] | None = None
        self._known: frozenset[Revocation] = frozenset()
        self.problem = ""

    def new(self) -> list[Revocation]:
        """What the file says that it has not said before."""
        try:
            found = os.stat(self._path)
            signature = (found.st_ino, found.st_mtime_ns, found.st_size)
            if signature == self._signature:
                return []
            data = regular(self._path, MAX_FILE_BYTES)
        except OSError as error:
            self.problem = f"{self._path} cannot be read: {error.strerror}; what it said stays in force"
            return []
        self._signature = signature
        if len(data) > MAX_FILE_BYTES:
            self.problem = f"{self._path} is larger than {MAX_FILE_BYTES} bytes and was not read"
            return []
        read = list(lines(data))
        broken = [each for each in read if isinstance(each, str)]
        shown = "; ".join(broken[:SAID_LINES])
        self.problem = f"{self._path}: {len(broken)} lines are no revocations: {shown}" if broken else ""
        fresh = [each for each in read if isinstance(each, Revocation) and each not in self._known]
        self._known |= frozenset(fresh)
        return fresh

    def again(self) -> None:
        """What was new could not be kept: it is new once more."""
        self._signature, self._known = None, frozenset()
