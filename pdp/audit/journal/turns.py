"""Whose turn it is when a thread is woken by another one that holds the interpreter.

A thread that is woken usually takes the core at once, also from whoever woke it. Then it finds the interpreter held and
gives the core back: two switches for nothing, in every batch. One of policy SCHED_BATCH waits until a core is free.
Only while it waits for work: when the disk has answered, nobody's busy neighbour may come first.
"""

from __future__ import annotations

import os


class Turns:
    """Those of the thread that makes it. An operator's own choice of a policy stays, and so does a system's refusal."""

    def __init__(self) -> None:
        try:
            self._usable = hasattr(os, "sched_setscheduler") and os.sched_getscheduler(0) == os.SCHED_OTHER
        except OSError:
            self._usable = False

    def after_others(self) -> None:
        """Woken from now on, leave the core to whoever has it."""
        if self._usable:
            self._become(os.SCHED_BATCH)

    def as_usual(self) -> None:
        if self._usable:
            self._become(os.SCHED_OTHER)

    def _become(self, policy: int) -> None:
        try:
            os.sched_setscheduler(0, policy, os.sched_param(0))
        except OSError:
            self._usable = False
