"""The emergency exception: where the log cannot be written, permits for a few purposes are recorded on a second disk.

Off unless `[emergency]` says so. It is for one thing alone: that a patient is not left untreated since a disk is full.
Only a permit, whose purpose is believed and listed, and whose record is on that second disk, synced, before the answer
leaves. That it was used is an alarm, a number, and a record in both logs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from threading import Lock
from time import time_ns
from typing import Any, Final

from pdp.audit.journal.wal import Ticket
from pdp.audit.log import EvidenceError, Log, Record
from pdp.audit.record import status
from pdp.config import Settings
from pdp.model.decision import Effect
from pdp.serve.process import say
from pdp.serve.veiling import veil

USED: Final = "emergency-used"
SUFFIX: Final = "-emergency"
MOST_SEGMENT_MEGABYTES: Final = 16
MAX_IDS: Final = 256
"""Of decisions that are named in the record of it; the others are in the second log as well."""


class Spool:
    """One worker's. Safe for threads. It is always there; without settings it takes nothing."""

    def __init__(self, settings: Settings, log: Log | None = None) -> None:
        self._purposes = settings.emergency.purposes
        self._log = log if log is not None else _log(settings)
        self._lock = Lock()
        self._since = 0  # when the permits began that are not on record in both logs; microseconds since the epoch
        self._count = 0
        self._ids: list[str] = []
        self._owed: dict[str, tuple[bytes, Ticket | None]] = {}  # what has still to be said, by log
        self._said = False

    def open(self) -> None:
        """Take the space now: on the day that it is needed, the second disk may be full as well."""
        if self._log is not None:
            try:
                self._log.open()
            except EvidenceError as error:
                say(f"ALARM: [emergency]: {error}; without it there is no exception")

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    def takes(self, records: Sequence[Record]) -> bool:
        """Are these all permits, of one request each, for purposes that are listed?"""
        if self._log is None or not records:
            return False
        return all(
            each.decision.effect is Effect.ALLOW and each.found is None and each.purpose in self._purposes
            for each in records
        )

    def hand(self, records: Sequence[Record]) -> Ticket:
        """To the second disk. Raises EvidenceError."""
        if self._log is None:
            raise EvidenceError("there is no second disk")
        return self._log.hand(records)

    def used(self, records: Sequence[Record]) -> None:
        """These are on the second disk, and were permitted."""
        with self._lock:
            self._since = self._since or records[0].time
            self._count += len(records)
            self._ids += [each.decision_id for each in records][: MAX_IDS - len(self._ids)]
            said, self._said = self._said, True
        if not said:
            say("ALARM: the log cannot be written, and permits in an emergency are given: recorded on the second disk")

    def tell(self, main: Log) -> None:
        """Put on record, in both logs, that it was used; tried again each second until it is. Asked each second."""
        if self._log is None:
            return
        logs = {"main": main, "second": self._log}
        with self._lock:
            if self._count and not self._owed:
                payload = status(time_ns(), self._members())
                self._owed = dict.fromkeys(logs, (payload, None))
                self._since, self._count, self._ids = 0, 0, []
            for name, (payload, ticket) in list(self._owed.items()):
                if ticket is not None and ticket.done:
                    del self._owed[name]
                elif ticket is None or ticket.settled:
                    self._owed[name] = (payload, None)
                    with suppress(EvidenceError):
                        self._owed[name] = (payload, logs[name].note(payload))
            if not self._owed and not self._count:
                self._said = False

    def _members(self) -> dict[str, Any]:
        return {"event": USED, "since": self._since // 1_000_000, "permits": self._count, "decisions": self._ids}


def _log(settings: Settings) -> Log | None:
    if settings.emergency.audit_dir is None:
        return None
    return Log(
        settings.emergency.audit_dir,
        settings.audit_origin + SUFFIX,
        alarm=lambda said: say(f"ALARM: [emergency]: {said}"),
        veil=veil(settings, settings.emergency.audit_dir),
        durability="synced",  # Whatever the first one has: there is no third.
        segment_bytes=min(settings.audit_segment_megabytes, MOST_SEGMENT_MEGABYTES) * 1_048_576,
        heartbeat_seconds=settings.audit_heartbeat_seconds,
    )
