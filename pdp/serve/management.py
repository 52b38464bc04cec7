"""The management process: a WSGI application under a gunicorn of its own, so that no page delays a decision.

The application is handed in by the command line: the console and the service do not know each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from pdp.config import Settings
from pdp.serve.decisions import common
from pdp.serve.process import die_with
from pdp.serve.runtime import Runtime
from pdp.serve.view import View

MakeApplication = Callable[[Settings, View], Any]


class Management(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings, runtime: Runtime, listener: int, make: MakeApplication) -> None:
        self._settings = settings
        self._runtime = runtime
        self._listener = listener
        self._make = make
        super().__init__()

    def load_config(self) -> None:
        chosen = common(self._listener, "pdp-management") | {
            "worker_class": "gthread",
            "workers": 1,
            "threads": 4,
            "keepalive": 5,
            "timeout": 120,
            "post_fork": self._forked,
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._make(self._settings, View(self._runtime))

    def _forked(self, arbiter: Any, _worker: Any) -> None:
        die_with(arbiter.pid)


def main(settings: Settings, runtime: Runtime, listener: int, make: MakeApplication) -> int:
    Management(settings, runtime, listener, make).run()
    return 0
