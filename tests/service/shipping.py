"""Real targets for what is shipped, and the process that ships, as the service starts it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.service.server import ROOT, free_port, until
from tests.unit.audit.hosts import ORIGIN

RUNNER = """
import os, sys
from pathlib import Path
from pdp.config import load
from pdp.serve.runtime import Runtime
from pdp.serve.shipping import main
settings = load(dict(os.environ), Path.cwd())
raise SystemExit(main(settings, settings.shipping[0], Runtime(Path(sys.argv[1]))))
"""


def program(name: str) -> str:
    """The path of a program that a test needs: beside our Python, or on PATH. The test is skipped without it."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin")
    if found is None and os.environ.get("PDP_TEST_REQUIRE_ALL") == "1":
        pytest.fail(f"{name} is missing")
    if found is None:
        pytest.skip(f"{name} is missing")
    return found


class NatsServer:
    """nats-server with JetStream, each message synced before its ack."""

    def __init__(self, directory: Path, more: str = "") -> None:
        directory.mkdir()
        self.port = free_port()
        self._config = directory / "nats.conf"
        self._config.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{directory}/store", sync_interval: always }}\n{more}'
        )
        self._program = program("nats-server")
        self._process: subprocess.Popen[bytes] | None = None
        self.log = directory / "nats.log"

    def start(self) -> NatsServer:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([self._program, "-c", str(self._config)], stdout=log, stderr=log)
        until(lambda: b"Server is ready" in self.log.read_bytes().rpartition(b"Starting nats-server")[2], "NATS")
        return self

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None


class Shipper:
    """The process of `pdp serve` that ships to the first target of `settings` (text of a pdp.toml)."""

    def __init__(self, directory: Path, audit: Path, settings: str) -> None:
        directory.mkdir()
        self._runtime = directory / "runtime"
        self._runtime.mkdir(mode=0o700)
        self.config = directory / "pdp.toml"
        self.config.write_text(settings)
        self.log = directory / "ship.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PDP_CONFIG": str(self.config),
            "PDP_AUDIT_DIR": str(audit),
            "PDP_AUDIT_ORIGIN": ORIGIN,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Shipper:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", RUNNER, str(self._runtime)], env=self.environment, stdout=log, stderr=log
            )
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        code, self._process = self._process.wait(15), None
        return code

    def end(self) -> None:
        if self._process is not None:
            self.stop(signal.SIGKILL)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`pdp audit ship ..` with the same settings."""
        return subprocess.run(
            [sys.executable, "-m", "pdp", "audit", "ship", *arguments],
            env=self.environment,
            cwd=self.config.parent,
            capture_output=True,
            text=True,
            check=False,
        )


@contextmanager
def running(shipper: Shipper) -> Iterator[Shipper]:
    try:
        yield shipper.start()
    finally:
        shipper.end()
