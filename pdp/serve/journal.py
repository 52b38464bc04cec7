"""gunicorn's log, said as everything else is: its handlers would wait for whoever reads standard error."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from pdp.serve.process import say


class Journal(Logger):  # type: ignore[misc]
    """An arbiter that waits to say that a worker has died starts no other one."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers[:] = [_Saying()]


class _Saying(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(f"{record.levelname.lower()}: {self.format(record)}")
