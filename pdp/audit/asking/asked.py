"""What is asked of the log, and whether a record is meant: yes, no, or nobody can tell.

Nobody can tell where what would decide it stands in a detail that is erased, locked or damaged, or behind a pseudonym
of a key that is not there. Such a record is never a no: it is counted, and whoever asked is told.

People and things are asked about by id or by a pseudonym. An id is looked for under every pseudonym that it has had,
and in details that are in clear; a pseudonym stands for itself, and where the keys are there, for the id behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final

from pdp.audit.asking.period import Period
from pdp.audit.leaf import CLEAR, Opener, instant
from pdp.audit.record import DECISION, RESULTS, STRANGE, cut

PATIENT: Final = "Patient"
"""The (wire) type of patients, where nothing else was said."""
SHOWN: Final = frozenset({DECISION, RESULTS})
"""The kinds that are meant where nobody says which."""
READ: Final = "audit.read"
PSEUDONYM: Final = re.compile(r"p([1-9][0-9]{0,8})-[a-z2-7]{26}")
HIDDEN: Final = {"action": ("act", "action"), "purpose": ("pou", "asserted")}
"""What stands as `STRANGE` in the clear part, where no schema has it, stands there in the detail."""
_NOTHING: Final[Mapping[str, Any]] = {}


class Meant(Enum):
    NO = 0
    UNKNOWN = 1
    YES = 2


NO, UNKNOWN, YES = Meant.NO, Meant.UNKNOWN, Meant.YES


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked. An empty text asks nothing of that member; `kinds` empty: every kind."""

    patient: str = ""
    subject: str = ""
    resource: str = ""
    session: str = ""
    action: str = ""
    effect: str = ""
    reason: str = ""
    rule: str = ""
    request_id: str = ""
    trace: str = ""
    decision: str = ""
    pep: str = ""
    purpose: str = ""
    kinds: frozenset[str] = SHOWN
    period: Period | None = None
    patient_type: str = PATIENT

    @property
    def literals(self) -> dict[str, str]:
        """What has to stand in the clear part as it is asked."""
        names = ("action", "effect", "reason", "rule", "request_id", "trace", "decision", "pep", "purpose", "session")
        return {name: value for name in names if (value := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class Names:
    """What a thing may be called in a record that gives its type."""

    ids: frozenset[str]
    pseudonyms: frozenset[str]
    epochs: frozenset[str]


class Thing:
    """A person or a thing that is asked about: `ID`, `TYPE/ID`, `TYPE:ID` or a pseudonym."""

    def __init__(self, text: str, opener: Opener, kind: str = "") -> None:
        self.text = text
        self.pseudonym = PSEUDONYM.fullmatch(text)
        self._opener = opener
        self._kind = kind
        self._known: dict[str, Names] = {}
        self.parts: list[tuple[str, str]] = [(kind, text)]
        for mark in "/:":
            before, found, rest = text.partition(mark)
            if found and before and rest and kind in ("", before):
                self.parts.append((before, rest))

    @property
    def ids(self) -> frozenset[str]:
        """Whatever its type."""
        return frozenset() if self.pseudonym else _written(each for _, each in self.parts)

    def of(self, kind: str) -> Names:
        """As a thing of this type."""
        known = self._known.get(kind)
        if known is None:
            known = self._known[kind] = self._names(kind)
        return known

    def _names(self, kind: str) -> Names:
        if self.pseudonym:
            return Names(frozenset(), frozenset({self.text}), frozenset({self.pseudonym[1]}))
        ids = frozenset(each for of, each in self.parts if of in ("", kind))
        names = frozenset(name for each in ids for name in self._opener.names(kind, each))
        ids = _written(ids)
        # A thing of another type has no name here, which has to be known of the same keys.
        epochs = epochs_of(names or self._opener.names(kind, self.text))
        return Names(ids, names, epochs)

    def same(self, kind: str, name: object, identifier: object) -> Meant:
        """Is it the thing of this type, which a record calls so? None: the record does not say it, or not to us."""
        known = self.of(kind)
        if isinstance(name, str):
            if name in known.pseudonyms:
                return YES
            found = PSEUDONYM.fullmatch(name)
            if found is not None and found[1] in known.epochs:
                return NO
        if isinstance(identifier, str):
            if not self.pseudonym:
                return YES if identifier in known.ids else NO
            names = self._opener.names(kind, identifier)
            if self.text in names:
                return YES
            return NO if self.pseudonym[1] in epochs_of(names) else UNKNOWN
        return UNKNOWN


def elsewhere(number: int) -> str:
    """Of `Question.elsewhere`, for whoever asked: it may be about somebody whom nobody else may be told of."""
    some = "1 search" if number == 1 else f"{number:,} searches"
    return f"{some} gave away things whose patients are not on record: ask for those by --resource too"


def _written(ids: Iterable[str]) -> frozenset[str]:
    """As they stand in a record, where a very long one is cut."""
    return frozenset(map(cut, ids))


def epochs_of(names: Iterable[str]) -> frozenset[str]:
    return frozenset(found[1] for each in names if (found := PSEUDONYM.fullmatch(each)))


@dataclass(frozen=True, slots=True)
class First:
    """The first record of a search that needs several: its clear part, and its detail without what was found."""

    members: Mapping[str, Any]
    detail: Mapping[str, Any]
    state: str


@dataclass(slots=True)
class Question:
    """What is asked, with the names that the opener knows."""

    asked: Asked
    opener: Opener
    patient: Thing | None = field(init=False)
    subject: Thing | None = field(init=False)
    resource: Thing | None = field(init=False)

    def __post_init__(self) -> None:
        asked = self.asked
        self.patient = Thing(asked.patient, self.opener, asked.patient_type) if asked.patient else None
        self.subject = Thing(asked.subject, self.opener) if asked.subject else None
        self.resource = Thing(asked.resource, self.opener) if asked.resource else None

    @property
    def things(self) -> list[Thing]:
        return [each for each in (self.patient, self.subject, self.resource) if each is not None]

    def meant(self, members: Mapping[str, Any], first: First | None = None) -> tuple[Meant, str]:
        """Is this record meant, and if nobody can tell, why: the state of its detail, or another word.

        `first`: where it goes on with a search.
        """
        asked = self.asked
        if asked.kinds and members.get("kind") not in asked.kinds:
            return NO, ""
        timed, why = YES, ""
        if asked.period is not None and asked.period.bounded:
            moment = instant(members.get("ts", ""))
            if not moment:
                timed, why = UNKNOWN, "no-time"
            elif moment not in asked.period:
                return NO, ""
        whole = {**first.members, **members} if first is not None else members
        if first is None and members.get("kind") == RESULTS:
            same = not asked.decision or members.get("id") == asked.decision
            return (UNKNOWN, "lost-first") if same and (self.things or asked.literals) else (NO, "")
        strange = {}
        for name, value in asked.literals.items():
            stands = said(whole, name)
            if value not in stands:
                if name not in HIDDEN or STRANGE not in stands:
                    return NO, ""
                strange[name] = value
        found, state = self._about(whole, first, strange)
        if found is NO:
            return NO, ""
        return (found, state) if found is UNKNOWN else (timed, why)

    def elsewhere(self, members: Mapping[str, Any]) -> bool:
        """A patient is asked for, and this, which is not meant, gave away things of which nobody here knows whose they
        are: a search for something else than patients.
        """
        search, period = part(members, "search"), self.asked.period
        if self.patient is None or search.get("for") != "resource" or not search.get("found"):
            return False
        if part(members, "res").get("type") == self.asked.patient_type:
            return False
        others = Question(replace(self.asked, patient="", period=None), self.opener)
        moment = instant(members.get("ts", ""))
        return (period is None or not moment or moment in period) and others.meant(members)[0] is not NO

    def first(self, members: Mapping[str, Any]) -> First:
        """What the records that go on with this search have to know of it."""
        detail, state = self.opener.open(members) if self.things else ({}, CLEAR)
        kept = {name: value for name, value in detail.items() if name != "results"}
        return First({name: value for name, value in members.items() if name != "detail"}, kept, state)

    def _about(self, members: Mapping[str, Any], first: First | None, strange: Mapping[str, str]) -> tuple[Meant, str]:
        """The people and things, and the names that only the detail says. It is opened only where it has to be."""
        if not self.things and not strange:
            return YES, ""
        detail = members.get("detail")
        if first is None and isinstance(detail, dict) and "kid" in detail:
            found = self._judged(members, _NOTHING, False)
            if found is NO or (found is YES and not strange):
                return found, ""
        opened, state = self.opener.open(members)
        if first is not None:
            opened, state = {**first.detail, **opened}, first.state if state == CLEAR else state
        found = self._judged(members, opened, state == CLEAR)
        for name, value in strange.items() if found is not NO else ():
            part_name, member = HIDDEN[name]
            if state != CLEAR:
                found = UNKNOWN
            elif part(opened, part_name).get(member) != value:
                return NO, ""
        return found, "no-name" if state == CLEAR else state

    def _judged(self, members: Mapping[str, Any], detail: Mapping[str, Any], known: bool) -> Meant:
        found = YES
        for thing, judge in ((self.patient, _patient), (self.subject, _subject), (self.resource, _resource)):
            if thing is None:
                continue
            if not known and members.get("kind") not in SHOWN:
                return UNKNOWN  # What somebody told names people in its detail alone.
            one = judge(thing, self.asked.patient_type, members, detail, known)
            if members.get("kind") == READ and judge is not _subject:  # Somebody asked the log about it.
                asked = part(detail, "asked").get("patient" if judge is _patient else "resource")
                one = YES if isinstance(asked, str) and (asked in thing.ids or asked == thing.text) else one
            if one is NO:
                return NO
            found = one if one is UNKNOWN else found
        return found


# ---------------------------------------------------------------------------------------------- which people and things


def part(members: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A member that is an object; an empty one where it is none."""
    found = members.get(name)
    return found if isinstance(found, dict) else _NOTHING


def _any(*found: Meant) -> Meant:
    return max(found, key=lambda each: each.value)


def _role(thing: Thing, clear: Mapping[str, Any], hidden: Mapping[str, Any], known: bool) -> Meant:
    kind, name = str(clear.get("type", "")), clear.get("id_p")
    identifier = clear.get("id", hidden.get("id"))
    if kind == STRANGE and known:
        kind = str(hidden.get("type", kind))
    elif kind == STRANGE:
        return UNKNOWN
    if identifier is None and name is None and known:
        return NO  # It is said to be nobody.
    return thing.same(kind, name, identifier)


def _patient(
    thing: Thing, patient_type: str, members: Mapping[str, Any], detail: Mapping[str, Any], known: bool
) -> Meant:
    res = part(members, "res")
    name = res.get("patient_p", members.get("patient_p"))
    identifier = part(detail, "patient").get("id")
    said = NO if name is None and identifier is None else thing.same(patient_type, name, identifier)
    strange = res.get("type") == STRANGE and (not known or part(detail, "res").get("type", STRANGE) == patient_type)
    typed = strange or res.get("type") == patient_type
    itself = _role(thing, res, part(detail, "res"), known) if typed else NO
    return _any(said, itself, _results(thing, members, detail, known, patient_type))


def _resource(thing: Thing, _: str, members: Mapping[str, Any], detail: Mapping[str, Any], known: bool) -> Meant:
    res = part(members, "res")
    itself = _role(thing, res, part(detail, "res"), known) if res else NO
    return _any(itself, _results(thing, members, detail, known, ""))


def _subject(thing: Thing, _: str, members: Mapping[str, Any], detail: Mapping[str, Any], known: bool) -> Meant:
    """Who asked, for whom, through whom; and whom a token that was refused is about."""
    found = NO
    for name in ("sub", "identity", "refused_token"):
        said = part(members, name)
        if said and (name == "sub" or "type" in said):  # Else it is the subject itself, or nobody.
            found = _any(found, _role(thing, said, part(detail, name), known))
    if found is YES or not (part(members, "identity").get("actors") or "actors" in detail):
        return found
    actors, told = detail.get("actors"), part(members, "identity").get("actors")
    if not isinstance(actors, list):  # How many there are is in clear, who they are is not.
        return UNKNOWN
    if any(each in thing.ids for each in actors if isinstance(each, str)):
        return YES
    # A pseudonym is one of a type, which an actor has none of; and of very many, only the first are on record.
    return UNKNOWN if thing.pseudonym or told not in (None, len(actors)) else found


def _results(thing: Thing, members: Mapping[str, Any], detail: Mapping[str, Any], known: bool, only: str) -> Meant:
    """Every name that a search gave away. What it looked for is things of the type of its resource."""
    if members.get("kind") not in SHOWN or not ("search" in members or members.get("kind") == RESULTS):
        return NO
    search, kind = part(members, "search"), str(part(members, "res").get("type", ""))
    if search and (search.get("for") != "resource" or (only and kind != only) or search.get("found") == 0):
        return NO
    names = detail.get("results")
    if not known or (names is not None and not isinstance(names, list)):
        return UNKNOWN  # A list that was too long for its record is a digest.
    kind = kind or only
    return _any(NO, *(thing.same(kind, None, each) for each in names or ()))


# --------------------------------------------------------------------------------------------------------- what is said


def said(members: Mapping[str, Any], name: str) -> Iterable[object]:
    """What a record says of one of `Asked.literals`."""
    match name:
        case "action":
            return [part(members, "act").get("action"), part(members, "act").get("verb")]
        case "effect" | "reason":
            return [part(members, "dec").get(name)]
        case "rule":
            rules = part(members, "dec").get("rule")
            return rules if isinstance(rules, list) else [rules]
        case "request_id" | "trace":
            return [part(members, "ctx").get(name)]
        case "purpose":
            return [part(members, "pou").get("asserted"), part(members, "pou").get("effective")]
        case "decision":
            return [members.get("id")]
        case "session":
            return [part(members, each).get("session") for each in ("ctx", "sub", "identity")]
        case _:
            return [members.get(name)]
