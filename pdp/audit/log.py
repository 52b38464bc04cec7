"""The log of decisions, as a worker has it: opened after the fork, and again when its directory was moved or deleted.

What is handed over is on disk when its ticket is done (`pdp.audit.journal.wal`); nothing may be permitted before that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final

from pdp.audit.decided import Found as Found
from pdp.audit.decided import Record as Record
from pdp.audit.decided import Refused as Refused
from pdp.audit.decided import Who as Who
from pdp.audit.evidence import EvidenceError as EvidenceError
from pdp.audit.journal.effort import Effort
from pdp.audit.journal.frames import CONTROL
from pdp.audit.journal.wal import Ticket, Wal
from pdp.audit.record import payloads
from pdp.audit.veil.privacy import Veil

LOOK_SECONDS: Final = 1.0


class Log:
    """One worker's. Safe for threads."""

    def __init__(
        self,
        directory: Path,
        origin: str,
        *,
        alarm: Callable[[str], None] = lambda _: None,
        veil: Veil | None = None,
        **chosen: Any,
    ) -> None:
        """`veil`: what records are hidden with; `chosen`: of `pdp.audit.journal.wal.Wal`. Nothing is opened yet."""
        self._directory = directory
        self._origin = origin
        self._alarm = alarm
        self._veil = veil
        self._chosen = chosen
        self._lock = Lock()
        self._wal: Wal | None = None
        self._looked = 0.0
        self._problem = ""
        self._warned = ""
        self._before = Effort()  # of those that were closed

    def open(self) -> None:
        """Be ready for the first record. Raises EvidenceError; it is tried again then, each second."""
        self._opened()
        self._unveiled()

    def hand(self, records: Sequence[Record]) -> Ticket:
        """Hand over the records of one answer. Raises EvidenceError, at once; else the ticket tells."""
        wal, veil = self._opened(), self._veil
        return wal.append([payload for each in records for payload in payloads(each, veil)])

    def note(self, payload: bytes) -> Ticket:
        """Hand over what the log has to say of itself. Raises EvidenceError, at once; else the ticket tells."""
        return self._opened().append([payload], CONTROL)

    def probe(self) -> None:
        """Raise EvidenceError when no record could be written now, as far as can be told without writing one."""
        self._opened(look=True).probe()
        self._unveiled()

    def counters(self) -> dict[str, Any]:
        """What was done so far, and how many records wait to be written."""
        total, wal = Effort(), self._wal
        total.add(self._before)
        if wal is not None:
            total.add(wal.effort)
        return total.as_json() | {"queued": 0 if wal is None else wal.queued}

    def close(self) -> None:
        """Write what was handed over, then end."""
        with self._lock:
            self._end()

    def _opened(self, look: bool = False) -> Wal:
        wal, now = self._wal, time.monotonic()
        if wal is not None and not look and now - self._looked < LOOK_SECONDS:
            return wal
        with self._lock:
            if self._wal is not None and self._wal.gone():
                self._end()
            elif self._wal is None and now - self._looked < LOOK_SECONDS and self._problem and not look:
                raise EvidenceError(self._problem)
            self._looked = now
            if self._wal is None:
                self._wal = self._again()
            if self._veil is not None:
                self._veil.look()  # Without its keys there are still refusals that have nothing to hide.
                self._warn(self._veil.warning)
            return self._wal

    @property
    def warning(self) -> str:
        """What will keep records from being written when the next key is needed; "" where nothing does."""
        return self._warned

    def _warn(self, warning: str) -> None:
        if warning != self._warned:
            self._warned = warning
            self._alarm(
                f"{warning}; from the next day on nothing could be recorded" if warning else "the keys are back"
            )

    def _unveiled(self) -> None:
        if self._veil is not None and self._veil.problem:
            raise EvidenceError(self._veil.problem)

    def _again(self) -> Wal:
        try:
            wal = Wal(self._directory, self._origin, alarm=self._alarm, **self._chosen)
        except EvidenceError as error:
            self._problem = str(error)
            raise
        self._problem = ""
        return wal

    def _end(self) -> None:
        wal, self._wal = self._wal, None
        if wal is not None:
            with suppress(OSError):
                wal.close()
            self._before.add(wal.effort)
