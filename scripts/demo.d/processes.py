"""Start processes that end with us, whatever ends us; find ports; wait until something listens."""

from __future__ import annotations

import ctypes
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def port(wanted: int, taken: set[int]) -> int:
    """`wanted` if it is free, else any free one."""
    for candidate in (wanted, 0, 0, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            found = int(probe.getsockname()[1])
        if found not in taken:
            taken.add(found)
            return found
    raise SystemExit("no free port on 127.0.0.1")


class Processes:
    """What runs, in the order it was started; all of it has ended when the block ends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        with (self._directory / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_end_with_parent
            )

    def listening(self, name: str, at: int, seconds: float = 20) -> None:
        """Return when `name` accepts connections; raise SystemExit with its log when it ends or never does."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._running[name].poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", at)) == 0:
                    return
            time.sleep(0.02)
        log = (self._directory / f"{name}.log").read_text(errors="replace")
        raise SystemExit(f"{name} did not start; it says:\n{log}")

    def stop(self, name: str) -> None:
        process = self._running.pop(name)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)
