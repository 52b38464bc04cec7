"""How long records are kept, and what has to stay longer: what somebody holds, and what still has to be shown.

Six years from the creation of a record or the date when it last was in effect, whichever is later (45 CFR 164.316(b)),
and a margin. Bundles of 256 records go whole or stay whole, always from the beginning of the log on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pdp.audit.asking.asked import NO, PSEUDONYM, Asked, Question
from pdp.audit.asking.period import Period
from pdp.audit.checking import history
from pdp.audit.checking.streams import stamp as place_of
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.frames import chained
from pdp.audit.leaf import CLEAR, LOG, Opener, instant, leaves, members_of, sealed_size
from pdp.audit.record import stamp
from pdp.audit.tree import pruned, tiles
from pdp.audit.tree.pruned import Pruned, Retention

HOLD: Final = "audit.hold"
RELEASE: Final = "audit.release"
ACTIVATED: Final = "policy.activate"
WIDTH: Final = tiles.WIDTH
_MARKED: Final = re.compile(rb'"kind":"(?:audit\.hold|audit\.release|policy\.activate|key\.rotate)"')

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Hold:
    """Somebody said that these records have to stay. `asked` empty: what it holds cannot be read, so it holds all."""

    id: str
    reason: str
    at: int
    index: int | None
    asked: tuple[Asked, ...]

    @property
    def whole(self) -> bool:
        """Does it hold every record, as far as can be told?"""
        return not self.asked


@dataclass(frozen=True, slots=True)
class PolicySet:
    """`last`: when another one took its place; None: it is in effect."""

    digest: str
    index: int | None
    since: int
    last: int | None


@dataclass(slots=True)
class Marked:
    """What a whole log says that bears on what may go from it."""

    holds: dict[str, Hold] = field(default_factory=dict)
    released: dict[str, list[int | None]] = field(default_factory=dict)  # hold -> where the releases are
    policies: list[PolicySet] = field(default_factory=list)
    rotations: list[int] = field(default_factory=list)

    @property
    def active(self) -> list[Hold]:
        return [each for each in self.holds.values() if each.id not in self.released]


@dataclass(slots=True)
class Plan:
    """What would go. `kept`: bundles below the new `min_index` that stay, and why."""

    cutoff: int
    size: int
    before: Pruned
    min_index: int = 0
    kept: dict[int, tuple[str, ...]] = field(default_factory=dict)
    dropped: int = 0  # bundles that are there and would go
    size_bytes: int = 0  # of their records
    first: int = 0  # time of the oldest record that would go
    last: int = 0
    unshipped: int | None = None  # from here on some target lacks records, so they stay
    marked: Marked = field(default_factory=Marked)
    streams: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    @property
    def records(self) -> int:
        return self.dropped * WIDTH

    def pruned(self, hashes: bool) -> Pruned:
        return Pruned(
            self.min_index,
            pruned.runs(sorted(self.kept)),
            hashes and self.before.hashes,
            self.streams,
            before=stamp(self.cutoff),
        )


def said(
    opener: Opener, reason: str, *, patient: str = "", subject: str = "", period: Period | None = None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The record of a hold, and its detail: ids stand there, and their pseudonyms in the clear part."""
    question = Question(Asked(patient, subject, kinds=frozenset()), opener)
    what: dict[str, Any] = {}
    hidden: dict[str, Any] = {}
    for name, thing in (("patient", question.patient), ("subject", question.subject)):
        if thing is None:
            continue
        names = {each for kind in {of for of, _ in thing.parts} for each in thing.of(kind).pseudonyms}
        what[name] = sorted(names)
        if thing.pseudonym is None:
            hidden[name] = thing.text
    if period is not None and period.bounded:
        what |= {"first": period.first, "after": period.after}
    return {"reason": reason, "hold": what}, {"hold": hidden} if hidden else None


def marked(directory: Path, opener: Opener, progress: Progress = lambda _, __: None) -> Marked:
    """All of the log, and what waits to be sealed. Raises EvidenceError."""
    found = Marked()
    size = sealed_size(directory)
    for index, record in tiles.records(directory / LOG, size, lambda done: progress(done, size)):
        if _MARKED.search(record):
            _note(found, index, record, members_of(record), opener)
    for leaf in leaves(directory, first=size):
        _note(found, leaf.index, leaf.payload, leaf.members, opener)
    found.policies = _until(found.policies)
    return found


def _note(found: Marked, index: int | None, record: bytes, members: Mapping[str, Any], opener: Opener) -> None:
    at = instant(members.get("ts", ""))
    match members.get("kind"):
        case "audit.hold":
            hold = _hold(index, at, members, opener)
            found.holds[hold.id] = hold
        case "audit.release":
            found.released.setdefault(str(members.get("of", "")), []).append(index)
        case "policy.activate":
            bundle = members.get("bundle")
            digest = str(bundle.get("sha256", "")) if isinstance(bundle, dict) else ""
            found.policies.append(PolicySet(digest, index, at, None))
        case "key.rotate" if index is not None and history.rotation(index, record) is not None:
            found.rotations.append(index)


def _hold(index: int | None, at: int, members: Mapping[str, Any], opener: Opener) -> Hold:
    what = members.get("hold")
    detail, state = opener.open(members)
    return Hold(
        str(members.get("id", "")),
        str(members.get("reason", "")),
        at,
        index,
        tuple(_asked(what, detail.get("hold", {}) if state == CLEAR else {})) if isinstance(what, dict) else (),
    )


def _asked(what: Mapping[str, Any], hidden: Any) -> Iterator[Asked]:
    """The questions of a hold: a record that one of them means is held."""
    first, after = what.get("first"), what.get("after")
    period = Period(first, after) if isinstance(first, int) and isinstance(after, int) else None
    ids = hidden if isinstance(hidden, dict) else {}
    for name in ("patient", "subject"):
        if name in what:
            # Without the id, what is called otherwise than these cannot be told apart from it, and stays.
            texts = [str(ids[name])] if ids.get(name) else [str(each) for each in what[name] or ()]
            for text in texts:
                if ids.get(name) or PSEUDONYM.fullmatch(text):
                    yield Asked(**{name: text}, kinds=frozenset(), period=period)
    if period is not None and not {"patient", "subject"} & what.keys():
        yield Asked(kinds=frozenset(), period=period)


def _until(found: list[PolicySet]) -> list[PolicySet]:
    """Each was in effect until another one took its place."""
    ended = []
    for at, each in enumerate(found):
        other = next((later for later in found[at + 1 :] if later.digest != each.digest), None)
        ended.append(PolicySet(each.digest, each.index, each.since, other.since if other is not None else None))
    return ended


def plan(
    directory: Path,
    retention: Retention,
    opener: Opener,
    now: int,
    progress: Progress = lambda _, __: None,
    shipped: int | None = None,
) -> Plan:
    """What may go. `now`: microseconds since the epoch. `shipped`: from which index on some target still lacks records
    (None: there is no target). Changes nothing. Raises EvidenceError.
    """
    log = directory / LOG
    made = Plan(retention.cutoff(now), sealed_size(directory), pruned.read(log))
    made.marked = marked(directory, opener, progress)
    made.streams = dict(made.before.streams)
    keeping = _Keeping(made, opener)
    whole = made.size >> tiles.HEIGHT
    if shipped is not None:
        made.unshipped = shipped
        whole = min(whole, shipped >> tiles.HEIGHT)
    for number in range(whole):
        if made.before.gone(number) and not (log / tiles.place(tiles.ENTRIES, number)).exists():
            made.min_index = (number + 1) * WIDTH
            continue
        if not keeping.bundle(number, tiles.unpacked(tiles.content(log, tiles.place(tiles.ENTRIES, number)))):
            break
        made.min_index = (number + 1) * WIDTH
        progress(made.min_index, made.size)
    made.min_index = max(made.min_index, made.before.min_index)
    keeping.together()
    return made


class _Keeping:
    """Bundle by bundle: is all of it old enough, and does something in it have to stay?"""

    def __init__(self, made: Plan, opener: Opener) -> None:
        self._made = made
        self._needed: dict[int, str] = {}
        self._releases: dict[int, str] = {}  # index -> the hold that it ends
        self._questions = [(hold, [Question(asked, opener) for asked in hold.asked]) for hold in made.marked.active]
        found = made.marked
        self._need(found.rotations, "it names a key of this log")
        self._need([each.index for each in found.active], "it says that something is held")
        for each in found.policies:
            if each.last is None or each.last >= made.cutoff:
                self._need(
                    [each.index], "it says since when a policy set is in effect that ended not long ago, or not yet"
                )
        for hold, indexes in found.released.items():
            self._releases |= {index: hold for index in indexes if index is not None}

    def _need(self, indexes: list[int] | list[int | None], why: str) -> None:
        for index in indexes:
            if index is not None:
                self._needed[index] = why

    def bundle(self, number: int, entries: list[bytes]) -> bool:
        """False: something in it is too new, or says no time; what follows is not looked at."""
        made = self._made
        members = [members_of(each) for each in entries]
        times = [instant(each.get("ts", "")) for each in members]
        if not times or not min(times) or max(times) >= made.cutoff:
            return False
        start = number * WIDTH
        why = {self._needed[index]: None for index in range(start, start + WIDTH) if index in self._needed}
        why |= dict.fromkeys(self._held(members))
        for entry in entries:
            place = place_of(entry)
            if place is not None and place.seq > made.streams.get(place.lane, (0, b""))[0]:
                made.streams[place.lane] = (place.seq, chained(place.prev, place.seq, entry))
        if why:
            made.kept[number] = tuple(why)
            return True
        made.dropped += 1
        made.size_bytes += sum(map(len, entries))
        made.first = min(filter(None, (made.first, *times)))
        made.last = max(made.last, *times)
        return True

    def _held(self, members: list[dict[str, Any]]) -> Iterator[str]:
        for hold, questions in self._questions:
            if hold.whole or any(each.meant(said)[0] is not NO for said in members for each in questions):
                yield f"held by {hold.id}"

    def together(self) -> None:
        """Where the record of a hold stays, what has ended it stays too: else it would hold again."""
        made = self._made
        holds = {hold.id: hold.index for hold in made.marked.holds.values()}
        for index, hold in sorted(self._releases.items()):
            at, number = holds.get(hold), index // WIDTH
            stays = at is None or at >= made.min_index or at // WIDTH in made.kept
            if stays and at is not None and index < made.min_index and number not in made.kept:
                made.kept[number] = ("it ends a hold whose record is there",)
                made.dropped -= 1


def check(directory: Path, identifier: str, opener: Opener) -> Hold:
    """The hold of this id, which is in force. Raises EvidenceError."""
    for each in marked(directory, opener).active:
        if each.id == identifier:
            return each
    raise EvidenceError(f"nothing is held under {identifier}")
