"""The decision plane: gunicorn with its `asgi` workers around `pdp.serve.app`."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from typing import Any, Final

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]

from pdp.audit.log import Log
from pdp.config import Settings
from pdp.serve import tls
from pdp.serve.app import Application
from pdp.serve.process import die_with, say
from pdp.serve.runtime import Runtime
from pdp.serve.veiling import veil

KEEP_ALIVE_SECONDS: Final = 120  # above the idle timeout of Envoy's pools in use, so that it is the one to close
DRAIN_SECONDS: Final = 5
WORKERS: Final = "workers"
SPARE_FILES: Final = 512


def common(listener: int, name: str) -> dict[str, Any]:
    """gunicorn settings of both planes: nothing from its environment, no control socket, no forwarding headers."""
    return {
        "bind": [f"fd://{listener}"],
        "proc_name": name,
        "control_socket_disable": True,
        "forwarded_allow_ips": "",
        "forwarder_headers": "",
        "secure_scheme_headers": {},
        "accesslog": None,
        "loglevel": "warning",
        "logger_class": "pdp.serve.journal.Journal",
        "umask": 0o077,
        "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None,
        "graceful_timeout": DRAIN_SECONDS,
    }


class MindingArbiter(Arbiter):  # type: ignore[misc]
    """Minds the certificate as its workers do: one that is started while the files are broken has what was in use."""

    def murder_workers(self) -> None:
        super().murder_workers()  # Called every second.
        if self.app.tls is not None:
            self.app.tls.look()


class Decisions(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings, runtime: Runtime, listener: int) -> None:
        self.settings = settings
        self.tls = tls.serving(settings)
        self._runtime = runtime
        self._listener = listener
        self._ends: list[int] = []
        super().__init__()

    def load_config(self) -> None:
        settings = self.settings
        chosen = common(self._listener, "pdp-decisions") | {
            "worker_class": "pdp.serve.connection.DecisionWorker",
            "workers": settings.workers,
            "keepalive": KEEP_ALIVE_SECONDS,
            "limit_request_line": min(settings.max_header_bytes, 65_535),
            "limit_request_field_size": settings.max_header_bytes,
            "limit_request_fields": 100,
            # `X_Pdp_Subject` is for the doors to judge. Nothing here folds `_` into `-`, of which that name warns.
            "header_map": "dangerous",
            "asgi_lifespan": "on",
            "post_fork": self._forked,
            "child_exit": self._worker_ended,
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Application:
        settings = self.settings
        log = Log(
            settings.audit_dir,
            settings.audit_origin,
            alarm=lambda said: say(f"ALARM: {said}"),
            veil=veil(settings),
            durability=settings.audit_durability,
            segment_bytes=settings.audit_segment_megabytes * 1_048_576,
            heartbeat_seconds=settings.audit_heartbeat_seconds,
        )
        return Application(self.settings, self._runtime, log, self.tls)

    def run(self) -> None:
        MindingArbiter(self).run()

    def _forked(self, arbiter: Any, _worker: Any) -> None:
        die_with(arbiter.pid)

    def _worker_ended(self, arbiter: Any, worker: Any) -> None:
        if not arbiter.LISTENERS:
            return  # We are ending.
        self._ends.append(worker.pid)
        with suppress(OSError):  # An arbiter that ends of a full disk takes all of its workers with it.
            self._runtime.write(WORKERS, {"restarts": len(self._ends), "last_pid": worker.pid})
        say(f"a decision worker ended (pid {worker.pid}); another one is started")


def _make_room(settings: Settings) -> None:
    """A worker may have as many files open as it may have connections, where the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * settings.limits.connections + SPARE_FILES
    if hard != resource.RLIM_INFINITY and wanted > hard:
        say(f"WARNING: {hard} open files are fewer than {settings.limits.connections} connections may need")
        wanted = hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main(settings: Settings, runtime: Runtime, listener: int) -> int:
    _make_room(settings)
    Decisions(settings, runtime, listener).run()
    return 0
