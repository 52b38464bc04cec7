"""One record as the rules look at it: an access, or what the log says of itself and of the house.

Small, because many of them wait for their turn, and by id where the id can be known: a record whose detail is locked
names people by pseudonym, and the context by id; whoever has the key of the pseudonyms brings the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pdp.audit.asking.asked import PATIENT
from pdp.audit.asking.deeds import NOBODY, Name, deed, is_deed, text
from pdp.audit.detect.context import Context
from pdp.audit.leaf import Leaf, Opener
from pdp.audit.record import STRANGE

MAX_NAMED: Final = 2_000
"""Ids of one search that are looked at."""


class Place(NamedTuple):
    """Where a record stands, for whoever wants it proven: its index in the log; None: not sealed yet."""

    at: int | None
    id: str


@dataclass(slots=True)
class Note:
    """A record that is no decision."""

    stream: str
    seq: int
    time: int
    place: Place
    kind: str
    said: Mapping[str, Any]
    detail: Mapping[str, Any]


@dataclass(slots=True)
class Access:
    """A decision. `subject`: `type:id`. What the record does not say is "". Times are microseconds since the epoch."""

    stream: str
    seq: int
    time: int
    place: Place
    type: str
    who: str
    patient: str
    resource_type: str
    resource: str
    action: str
    verb: str
    purpose: str
    allowed: bool
    reason: str
    rules: tuple[str, ...]
    client: str
    issuer: str
    pep: str
    count: int
    named: tuple[str, ...]  # patients that a search gave away
    more: bool  # of the search there is another page
    kind: str
    hidden: bool = False  # who or whom is known by pseudonym alone
    explained: str = ""  # by which template; "": by none, or not asked
    judged: bool = False  # it was asked

    @property
    def subject(self) -> str:
        return f"{self.type}:{self.who}"


Event = Access | Note


class Reading:
    """Makes events of leaves. Remembers the pseudonyms of what the context knows, type by type, once one is met."""

    def __init__(self, context: Context, opener: Opener) -> None:
        self._context, self._opener = context, opener
        self._known: dict[str, dict[str, str]] = {}
        self.locked = 0
        self.nameless = 0

    def event(self, leaf: Leaf) -> Event:
        time, place = leaf.time, Place(leaf.index, leaf.id)
        if not is_deed(leaf):
            return Note(leaf.stream, leaf.seq, time, place, leaf.kind, leaf.members, leaf.detail)
        one = deed(leaf)
        who = one.who if one.who is not NOBODY else one.claimed
        subject, patient, resource = self.real(who), self.real(one.patient), self.real(one.resource)
        if not patient.id:
            patient = self._of(resource)
        hidden = subject.hidden or patient.hidden
        self.locked += bool(leaf.opened != "clear")
        self.nameless += hidden
        search = leaf.members.get("search")
        return Access(
            leaf.stream,
            leaf.seq,
            time,
            place,
            _clear(leaf, "sub", "type", who.kind),
            subject.id,
            patient.id,
            resource.kind,
            resource.id,
            one.action,
            one.verb,
            _clear(leaf, "pou", "asserted", one.purpose),
            one.allowed or one.leaf.kind == "decision.results",
            one.reason,
            one.rules,
            one.client,
            text(leaf.members, "identity", "issuer"),
            text(leaf.members, "pep"),
            one.count,
            one.named[:MAX_NAMED] if one.searched in (PATIENT, "Chart") or not one.searched else (),
            isinstance(search, Mapping) and search.get("more") is True,
            leaf.kind,
            hidden,
        )

    def real(self, name: Name) -> Name:
        """The id of a pseudonym where the context has it, else the name as it is."""
        if not name.hidden:
            return name
        known = self._known.get(name.kind)
        if known is None:
            known = self._known[name.kind] = {
                hidden: each for each in self._context.ids(name.kind) for hidden in self._opener.names(name.kind, each)
            }
        found = known.get(name.id)
        return Name(name.kind, found) if found is not None else name

    def _of(self, resource: Name) -> Name:
        """Whose it is, where the record does not say and the context does."""
        if resource.kind in (PATIENT, "Chart"):
            return Name(PATIENT, resource.id, resource.hidden)
        owner, _ = self._context.things.get((resource.kind, resource.id), ("", frozenset()))
        return Name(PATIENT, owner)


def _clear(leaf: Leaf, part: str, name: str, opened: str) -> str:
    """A name that somebody made up stays the mark that the clear part has: findings and alerts repeat it."""
    return STRANGE if text(leaf.members, part, name) == STRANGE else opened
