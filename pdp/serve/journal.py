"""gunicorn's log, said as everything else is: its handlers would wait for whoever reads standard error.

What a client sent stands in none of its lines: gunicorn quotes request lines, paths and headers, which may name a
patient or hold a secret. Nor does the message of an exception, which may quote values.
"""

from __future__ import annotations

import logging
import traceback
from time import monotonic
from typing import Any, Final

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from pdp.serve.process import say

INVALID: Final = "Invalid request from ip="
SECONDS: Final = 1.0
"""Between two lines about requests that cannot be read: anybody can send any number of them."""


class Journal(Logger):  # type: ignore[misc]
    """An arbiter that waits to say that a worker has died starts no other one."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers[:] = [_Saying()]


class _Saying(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self._said = -SECONDS
        self._unsaid = 0

    def emit(self, record: logging.LogRecord) -> None:
        text = self._of_a_client(str(record.msg)) if str(record.msg).startswith(INVALID) else _told(record)
        if text:
            say(f"{record.levelname.lower()}: {text}")

    def _of_a_client(self, text: str) -> str:
        """From where, and not what."""
        now = monotonic()
        if now - self._said < SECONDS:
            self._unsaid += 1
            return ""
        more = f", and {self._unsaid} more since the last such line" if self._unsaid else ""
        self._said, self._unsaid = now, 0
        return text.partition(": ")[0] + more


def _told(record: logging.LogRecord) -> str:
    """Of an exception its type and where it was; else the message."""
    kind, _, frames = record.exc_info or (None, None, None)
    if kind is None:
        return record.getMessage()
    what = record.msg.partition("%")[0].strip() if isinstance(record.msg, str) else ""
    return f"{what} {kind.__name__}\n{''.join(traceback.format_tb(frames))}".strip()
