"""Rules about the log itself: what it does not say, when it says so, and what it says badly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pdp.audit.asking.deeds import text
from pdp.audit.detect.access import Access, Event, Note
from pdp.audit.detect.hits import Facts, Hit
from pdp.audit.detect.rules import Rule
from pdp.audit.detect.sealed import MALFORMED
from pdp.audit.detect.window import State

STREAM: Final = "stream"
_ENDS: Final = frozenset({"closing"})
_CLOSED: Final = frozenset({"closed"})


def silence(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M20: a stream that misses heartbeats, a clock that goes back or ahead, and what the log reports of itself."""
    yield from _clock(rule, state, event, facts)
    if event.stream:  # Under "" stands when all of them were looked at.
        yield from _missing(rule, state, event)
    if isinstance(event, Note):
        if event.stream:
            _beat(state, event)
        said = text(event.said, "event")
        if event.kind == "audit.status" and said in rule.names("events"):
            yield Hit(STREAM, event.stream, "", rule.points, f"the log reports: {said}", (event.place,))
    yield from _quiet(rule, state, event, facts)


def _clock(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    known = state.marks.get(event.stream)
    if event.kind == MALFORMED:
        yield Hit(STREAM, event.stream, "", rule.points, "a record that is none", (event.place,))
    elif not event.time:
        yield Hit(STREAM, event.stream, "", rule.points, "a record without a time", (event.place,))
    elif event.time > facts.now:
        yield Hit(STREAM, event.stream, "", rule.points, "a record from the future", (event.place,))
    elif known is not None and event.time < known[0] - rule.number("back"):
        because = f"the clock went back by {(known[0] - event.time) / 1e6:.0f} s"
        yield Hit(STREAM, event.stream, "", rule.points, because, (event.place,))


def _missing(rule: Rule, state: State, event: Event) -> Iterator[Hit]:
    """A gap that has ended. marks: stream -> [time, microseconds between two heartbeats, was it told]."""
    known = state.marks.get(event.stream)
    if known is None:
        state.mark(event.stream, [event.time, 0, False])
        return
    time, every, told = known
    if every and not told and event.time - time > rule.threshold * every:
        yield _gap(rule, event.stream, event.time - time, event)
    known[0], known[2] = event.time, False


def _beat(state: State, note: Note) -> None:
    every = note.said.get("every")
    if note.kind == "heartbeat" and isinstance(every, int | float) and 0 < every < 86_400:
        state.marks[note.stream][1] = int(every * 1_000_000)
    if (note.kind == "heartbeat" and text(note.said, "state") in _ENDS) or (
        note.kind == "audit.status" and text(note.said, "event") in _CLOSED
    ):
        del state.marks[note.stream]


def _quiet(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """Others go on, this stream says nothing, and did not say that it ends. Looked at once a minute."""
    minute = facts.newest // 60_000_000
    looked = state.marks.setdefault("", [facts.newest, minute])
    if looked[1] == minute:
        return
    looked[0], looked[1] = facts.newest, minute
    for stream, known in state.marks.items():
        if stream and known[1] and not known[2] and facts.newest - known[0] > rule.threshold * known[1]:
            known[2] = True
            yield _gap(rule, stream, facts.newest - known[0], event)


def _gap(rule: Rule, stream: str, length: int, event: Event) -> Hit:
    return Hit(STREAM, stream, "", rule.points, f"silent for {length / 60e6:.0f} min or longer", (event.place,))


def disclosures(rule: Rule, _state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M22: what the accounting of 45 CFR 164.528 needs and is not there."""
    if isinstance(event, Access):
        if event.allowed and event.verb == "T" and event.patient and event.type in facts.rules.services:
            lacking = [] if event.purpose else ["the purpose"]
            lacking += [] if event.who else ["the recipient"]
            if lacking:
                yield Hit(event.type, event.who, event.patient, rule.points, _lacking(lacking), (event.place,))
    elif event.kind == "disclosure" and event.detail:
        lacking = [f"the {each}" for each in ("recipient", "what") if not text(event.detail, each)]
        if not text(event.detail, "purpose") and text(event.said, "basis") in ("", "other"):
            lacking.append("the purpose")
        if lacking:
            by, patient = text(event.said, "by"), text(event.detail, "patient", "id")
            yield Hit("operator", by, patient, rule.points, _lacking(lacking), (event.place,))


def _lacking(lacking: list[str]) -> str:
    return f"a disclosure without {' and '.join(lacking)}".replace("the what", "what it was")
