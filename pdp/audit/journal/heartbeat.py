"""Heartbeats: each minute a stream says that it is there, and what it has recorded since it said so last.

So silence is evidence too: whoever keeps a writer from writing, or leaves out what it wrote, has to explain a gap, or a
count that is wrong. `mono` is a clock that nobody sets, beside `ts`, which is the one of the host.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final, NamedTuple

from pdp.audit.record import VERSION, encoded, stamp

KIND: Final = "heartbeat"
OPENED: Final = "opened"
BEATING: Final = "beating"
CLOSING: Final = "closing"
IDLE: Final = "idle"
"""Of the sealer, when there was nothing to seal."""

ABANDONED: Final = "abandoned"
"""What the sealer says, in an `audit.status`, of a writer that ended without closing."""

_EFFECT: Final = b'"dec":{"effect":"'
WITHIN: Final = 2_048
"""What stands before the decision in a record is short. No text of a client can look like it: it would have its quotes
escaped."""


class Tally(NamedTuple):
    """What was recorded from `first` on."""

    first: int
    allowed: int = 0
    denied: int = 0


def effect(payload: bytes) -> str:
    """Of a record: "allow", "deny", or "" for what is no decision."""
    at = payload.find(_EFFECT, 0, WITHIN)
    if at < 0:
        return ""
    return "allow" if payload.startswith(b'allow"', at + len(_EFFECT)) else "deny"


def counted(tally: Tally, payload: bytes) -> Tally:
    """One record more."""
    found = effect(payload)
    if not found:
        return tally
    if found == "allow":
        return Tally(tally.first, tally.allowed + 1, tally.denied)
    return Tally(tally.first, tally.allowed, tally.denied + 1)


def heartbeat(now: int, mono: int, state: str, every: float, tally: Tally, seq: int) -> bytes:
    """The record with number `seq` that says so. `now`, `mono`: nanoseconds; `every`: seconds between two of them."""
    return encoded({"v": VERSION, "kind": KIND, "ts": stamp(now // 1_000), **said(mono, state, every, tally, seq)})


def said(mono: int, state: str, every: float, tally: Tally, seq: int) -> dict[str, Any]:
    return {
        "state": state,
        "every": every,
        "mono": mono,
        "first": tally.first,
        "last": seq - 1,
        "decisions": {"allow": tally.allowed, "deny": tally.denied},
        "n": os.urandom(16).hex(),
    }


def monotonic() -> int:
    """Nanoseconds since the machine was started, also while it slept; nobody sets it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
