"""Whoever asks and is no enforcement point, counted and told: most of them are one whose settings are wrong.

Told on standard error at once, then once a minute for each door while it goes on. Never what was shown, and never a
path, which may name a patient.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import Final

from pdp.serve.metrics import Metrics
from pdp.serve.process import say

MINUTE: Final = 60_000_000
NO_DOOR: Final = ""

WHY: Final = {
    "no-secret": "without a secret",
    "wrong-secret": "with a secret that is nobody's there",
    "two-secrets": "with two secrets, or with another `Authorization` than Bearer",
    "no-certificate": "without a certificate",
    "unknown-certificate": "with a certificate that no profile names, or that is not valid now",
    "wrong-door": "with what makes it known at another door: see `door` in its profile",
    "two-profiles": "with what fits two profiles",
}
"""Why an enforcement point is not known, in the words of records and metrics, and in sentences."""


class Strangers:
    """One worker's. Safe for threads."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = Lock()
        self._untold: dict[str, Counter[str]] = {}  # by door
        self._told: dict[str, int] = {}  # when; microseconds since the epoch

    def seen(self, door: str, word: str) -> None:
        """Somebody asks at a door and is not known. `word`: a key of `WHY`."""
        with self._lock:
            self._metrics.unknown_peps[door, word] = self._metrics.unknown_peps.get((door, word), 0) + 1
            self._untold.setdefault(door, Counter())[word] += 1

    def lost(self) -> None:
        """Somebody asks for a path that no door has."""
        with self._lock:
            self._metrics.no_door += 1
            self._untold.setdefault(NO_DOOR, Counter())[""] += 1

    def tell(self, now: int) -> None:
        """Asked every second."""
        for line in self.lines(now):
            say(f"WARNING: {line}")

    def lines(self, now: int) -> list[str]:
        """What is to be told now; it is not told again."""
        found = []
        with self._lock:
            for door in sorted(self._untold):
                last = self._told.get(door)
                if last is None or now - last >= MINUTE:
                    since = "" if last is None or now - last >= 2 * MINUTE else " in the last minute"
                    self._told[door] = now
                    found += [_line(door, word, times, since) for word, times in sorted(self._untold.pop(door).items())]
        return found


def _line(door: str, word: str, times: int, since: str) -> str:
    often = f"{times} {'time' if times == 1 else 'times'}{since}"
    if door == NO_DOOR:
        return (
            f"somebody asks for a path that no door has; {often}: an Envoy without `path_prefix: /ext_authz`,"
            " or another mistake in a proxy's settings? Each got 404"
        )
    return f"somebody {WHY.get(word, word)} asks at the door {door} ({word}); {often}; all denied"
