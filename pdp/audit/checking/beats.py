"""Heartbeats, for a verifier: was every stream there while the log went on, does its count fit, did time run?

Silence is judged by time and not by place, since a slot may be sealed after another one. A stream is bound to speak
from the record that says it was opened to the one that says it ends, or to the sealer's that it was abandoned.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from pdp.audit.checking.findings import Finding, Kind
from pdp.audit.checking.streams import Stamp
from pdp.audit.journal import heartbeat
from pdp.audit.journal.heartbeat import Tally

PERIODS: Final = 3
"""How many of its periods a stream may be silent."""
TOLERANCE: Final = 60.0
"""Seconds. A record tells when its request had come, which may have waited for a disk, or for a search."""
MAX_SILENCES: Final = 1_000
OWN: Final = "sealer"

_TS: Final = b'"ts":"'
_BEAT: Final = b'"kind":"heartbeat"'
_STATUS: Final = b'"kind":"audit.status"'
_SHARED: Final = b'"count":'
"""Of many refusals alike: it tells when the first of them was."""
_TS_BYTES: Final = 27
_MINUTE: Final = 16


@dataclass(slots=True)
class Pulse:
    """One lane. Times are seconds since the epoch."""

    every: float = 0.0  # 0: it promised no heartbeats
    heard: float = 0.0  # its last sign of life
    highest: bytes = b""  # the latest `ts` so far
    minute: bytes = b""
    tally: Tally | None = None  # of what was seen since its last heartbeat; None: not all of it was
    seq: int = 0
    part: str = ""
    offset: float | None = None  # of the clock of the host against the one that nobody sets, at its last heartbeat
    jumps: list[tuple[int, float, float]] = field(default_factory=list)  # (index, back to, by how much), unexplained
    alive: list[list[float]] = field(default_factory=list)  # from when to when, in order


@dataclass(frozen=True, slots=True)
class Silence:
    lane: str
    index: int  # of the record after it, -1: none came
    start: float  # when it should have spoken
    end: float  # 0.0: the end of the log
    every: float


class Beats:
    """Follows the heartbeats of every stream, record by record. Memory: some numbers for each slot and each silence."""

    def __init__(self) -> None:
        self.clock_steps = 0
        self._pulses: dict[str, Pulse] = {}
        self._silences: list[Silence] = []

    def follow(self, index: int, record: bytes, place: Stamp) -> Iterator[Finding]:
        pulse = self._pulses.get(place.lane)
        if pulse is None:
            pulse = self._pulses[place.lane] = Pulse()
        text = _text(record)
        if place.part != pulse.part:  # Another start of the machine: neither clock goes on.
            pulse.part, pulse.offset, pulse.highest = place.part, None, b""
            pulse.jumps.clear()
        if text >= pulse.highest:
            pulse.highest = text
        elif _SHARED not in record:
            self._backwards(index, text, pulse)
        if text[:_MINUTE] != pulse.minute or _BEAT in record or _STATUS in record:
            pulse.minute = text[:_MINUTE]
            yield from self._heard(index, record, place, pulse, _seconds(text))
        tally = pulse.tally
        if place.seq != pulse.seq + 1:
            pulse.tally = None  # What is missing between was found by whoever looks at the numbers.
        elif tally is not None:
            pulse.tally = heartbeat.counted(tally, record)
        pulse.seq = place.seq
        if _BEAT in record:
            pulse.tally = Tally(place.seq + 1)

    def _heard(self, index: int, record: bytes, place: Stamp, pulse: Pulse, now: float) -> Iterator[Finding]:
        """A sign of life. What it says is looked at where it is one of ours."""
        if not now:
            return
        said = _members(record)
        kind, opened = said.get("kind"), said.get("state") == heartbeat.OPENED
        if pulse.every and now > pulse.heard + PERIODS * pulse.every:
            self._silent(Silence(place.lane, index, pulse.heard + PERIODS * pulse.every, now, pulse.every))
        pulse.heard = max(pulse.heard, now)
        _lives(pulse.alive, now, max(pulse.every, 60.0))
        if kind == heartbeat.KIND and not place.lane.endswith(f"/{OWN}"):
            pulse.every = 0.0 if said.get("state") == heartbeat.CLOSING else _number(said.get("every"))
            yield from self._time(said, pulse, now)
            if not opened:
                yield from _count(index, place, said, pulse)
        elif kind == "audit.status" and said.get("event") == heartbeat.ABANDONED and place.lane.endswith(f"/{OWN}"):
            ended = self._pulses.get(str(said.get("of")))
            if ended is not None and said.get("last") == ended.seq:
                ended.every = 0.0

    def _silent(self, silence: Silence) -> None:
        if len(self._silences) < MAX_SILENCES:
            self._silences.append(silence)

    def _backwards(self, index: int, text: bytes, pulse: Pulse) -> None:
        if not pulse.every or len(pulse.jumps) >= MAX_SILENCES:
            return  # No heartbeat will say whether the clock was set.
        now, before = _seconds(text), _seconds(pulse.highest)
        if now and before - now > TOLERANCE:
            pulse.jumps.append((index, now, before - now))

    def _time(self, said: dict[str, Any], pulse: Pulse, now: float) -> Iterator[Finding]:
        """The clock that nobody sets tells how far the other one was set since the heartbeat before."""
        mono = _number(said.get("mono")) / 1e9
        offset, before = now - mono, pulse.offset
        pulse.offset = offset
        stepped = 0.0 if before is None else offset - before
        if abs(stepped) > 1.0:
            self.clock_steps += 1
        if stepped < -1.0:
            pulse.highest = b""  # From here on time counts anew.
        for index, _, by in pulse.jumps:
            if by + stepped > TOLERANCE:
                yield Finding(Kind.BACKWARDS, f"record {index} is {by:.0f} s older than one before it", index)
        pulse.jumps.clear()

    def findings(self, behind: Collection[str] = ()) -> Iterator[Finding]:
        """At the end: who was silent while others spoke. `behind`: lanes of which records still wait to be sealed."""
        end = max((pulse.heard for pulse in self._pulses.values()), default=0.0)
        for name, pulse in self._pulses.items():
            if pulse.every and end > pulse.heard + PERIODS * pulse.every and name not in behind:
                start = pulse.heard + PERIODS * pulse.every
                self._silences.append(Silence(name, -1, start, end, pulse.every))
        for each in self._silences:
            spoken = max(
                (_within(pulse.alive, each) for name, pulse in self._pulses.items() if name != each.lane), default=0.0
            )
            if spoken > each.every:
                when = datetime.fromtimestamp(each.start, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                long = f"{each.end - each.start:.0f} s from {when} on"
                yield Finding(Kind.SILENT, f"{each.lane} says nothing for {long}, and others do", each.index)


def _count(index: int, place: Stamp, said: dict[str, Any], pulse: Pulse) -> Iterator[Finding]:
    """Does it say what was seen? Nothing where not all of it was seen."""
    tally, counts = pulse.tally, said.get("decisions")
    if tally is None or place.seq != pulse.seq + 1 or not isinstance(counts, dict):
        return
    told = Tally(said.get("first", 0), counts.get("allow", 0), counts.get("deny", 0))
    if told != tally or said.get("last") != place.seq - 1:
        numbers = f"numbers {told.first} to {said.get('last')} of {place.lane}"
        yield Finding(
            Kind.COUNT,
            f"{told.allowed} allows and {told.denied} denies are told of {numbers};"
            f" there are {tally.allowed} and {tally.denied} from {tally.first} on",
            index,
        )


def _text(record: bytes) -> bytes:
    """When, as it stands there; these sort as the instants do."""
    at = record.find(_TS) + len(_TS)
    return record[at : at + _TS_BYTES]


def _seconds(text: bytes) -> float:
    try:
        return datetime.fromisoformat(text.decode("ascii")).timestamp()
    except ValueError:
        return 0.0


def _members(record: bytes) -> dict[str, Any]:
    if _BEAT not in record and _STATUS not in record:
        return {}
    try:
        found = orjson.loads(record)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else 0.0


def _lives(alive: list[list[float]], now: float, pause: float) -> None:
    """Add an instant to the spans; those that are close are one. Mostly it is the last one that grows."""
    at = bisect_right(alive, now, key=lambda span: span[0]) - 1
    if at >= 0 and now <= alive[at][1] + pause:
        alive[at][1] = max(alive[at][1], now)
    elif at + 1 < len(alive) and alive[at + 1][0] <= now + pause:
        alive[at + 1][0] = now
    else:
        alive.insert(at + 1, [now, now])


def _within(alive: list[list[float]], silence: Silence) -> float:
    """For how many seconds of the silence this one spoke."""
    return sum(max(0.0, min(end, silence.end) - max(start, silence.start)) for start, end in alive)
