"""Being a child: ending with the parent, also when it is killed with -9."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Final

PR_SET_PDEATHSIG: Final = 1
HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGQUIT, signal.SIGUSR1)


def die_with(parent: int) -> None:
    """End at once when `parent` has. Called in a child right after the fork."""
    try:
        kernel = ctypes.CDLL(None, use_errno=True)
        told = kernel.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
    except (OSError, AttributeError):
        told = False
    if os.getppid() != parent:  # It died between the fork and the line above.
        os._exit(1)
    if not told:  # Not Linux: look.
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def forget_signals() -> None:
    """A forked child starts with its parent's handlers; it wants none of them."""
    for each in HANDLED:
        signal.signal(each, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)


def say(text: str) -> None:
    """One line for the operator, on standard error. Never an exception and never a wait: it is said while we answer.

    Whoever reads standard error may be gone, or slow; then the line, or its end, is lost.
    """
    line = f"pdp: {text}\n".encode("utf-8", "backslashreplace")
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
        end = sys.stderr.fileno()
        poll = select.poll()
        poll.register(end, select.POLLOUT)
        while line and any(events & select.POLLOUT for _, events in poll.poll(0)):
            # What a pipe that is ready takes for sure, without a wait.
            line = line[os.write(end, line[: select.PIPE_BUF]) :]
