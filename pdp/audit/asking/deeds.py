"""One decision as reports look at it: who, what, of which patient, for what, and how it ended.

Records were written by many versions, and perhaps by somebody else: what a record lacks is empty here, never a fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pdp.audit.asking.asked import NO, PATIENT, PSEUDONYM, Meant, Thing, part
from pdp.audit.leaf import Leaf, Opener
from pdp.audit.record import DECISION, RESULTS, STRANGE


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """Of a person or a thing. `hidden`: `id` is a pseudonym, the real one could not be opened."""

    kind: str
    id: str
    hidden: bool = False

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}" if self.kind else self.id


NOBODY: Final = Name("", "")


@dataclass(frozen=True, slots=True)
class Deed:
    """A decision, or the continuation of one search. What is not in the record is "" or empty."""

    leaf: Leaf
    who: Name
    asker: Name  # who was established, where an application asked about somebody else
    claimed: Name  # of a token that was refused
    client: str
    action: str
    verb: str  # C R U D E Q T
    resource: Name
    patient: Name
    purpose: str
    effect: str
    reason: str
    status: str
    rules: tuple[str, ...]
    digest: str  # of the policy set
    searched: str  # the type of what a search was for
    named: tuple[str, ...]  # ids that a search gave away
    count: int  # of how many refusals alike this is the record

    @property
    def allowed(self) -> bool:
        return self.effect == "allow"

    @property
    def discloses(self) -> bool:
        """Something leaves the house, as the verb of the action says."""
        return self.verb == "T" or self.action == "disclose"


def is_deed(leaf: Leaf) -> bool:
    return leaf.kind in (DECISION, RESULTS)


def deed(leaf: Leaf) -> Deed:
    said, detail = leaf.members, leaf.detail
    decided, search = part(said, "dec"), part(said, "search")
    resource_type = told(leaf, "res", "type")
    searched = {"resource": resource_type, "subject": told(leaf, "sub", "type")}.get(text(search, "for"), "")
    rules = decided.get("rule")
    named = detail.get("results")
    count = said.get("count", 1)
    return Deed(
        leaf=leaf,
        who=_name(told(leaf, "sub", "type"), text(said, "sub", "id") or text(detail, "sub", "id"), said, "sub", "id_p"),
        asker=_name(told(leaf, "identity", "type"), text(detail, "identity", "id"), said, "identity", "id_p"),
        claimed=_name(
            text(said, "refused_token", "type"), text(detail, "refused_token", "id"), said, "refused_token", "id_p"
        ),
        client=text(said, "client", "id"),
        action=told(leaf, "act", "action"),
        verb=text(said, "act", "verb"),
        resource=_name(resource_type, text(detail, "res", "id"), said, "res", "id_p"),
        patient=_name(PATIENT, text(detail, "patient", "id"), said, "res", "patient_p"),
        purpose=told(leaf, "pou", "asserted"),
        effect=text(decided, "effect"),
        reason=text(decided, "reason"),
        status=text(decided, "status"),
        rules=tuple(map(str, rules)) if isinstance(rules, list) else (),
        digest=text(decided, "bundle", "sha256"),
        searched=searched,
        named=tuple(map(str, named)) if isinstance(named, list) else (),
        count=count if isinstance(count, int) and count > 0 else 1,
    )


def text(said: Mapping[str, Any], *path: str) -> str:
    """What stands at a place of a record; "" where that is no text."""
    value: Any = said
    for each in path:
        value = value.get(each) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""


def told(leaf: Leaf, role: str, name: str) -> str:
    """What no schema has stands in the detail, and in the clear part a mark of it."""
    found = text(leaf.members, role, name)
    return text(leaf.detail, role, name) or found if found == STRANGE else found


def _name(kind: str, real: str, said: Mapping[str, Any], *pseudonym: str) -> Name:
    if real:
        return Name(kind, real)
    hidden = text(said, *pseudonym)
    return Name(kind, hidden, bool(hidden)) if hidden else NOBODY


class Sought:
    """One person or thing, by its id or by any name that it has had in this log."""

    def __init__(self, kind: str, identifier: str, opener: Opener) -> None:
        self.kind = kind
        self.id = identifier
        self.opener = opener
        self._thing = Thing(identifier, opener, kind)
        self.pseudonyms = self._thing.of(kind).pseudonyms

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    def same(self, kind: str, said: Mapping[str, Any], pseudonym: str, real: str) -> Meant:
        """Is that its name, in a record? UNKNOWN also where the record does not say."""
        if kind != self.kind:
            return NO
        return self._thing.same(kind, said.get(pseudonym), real or None)

    def called(self, kind: str, given: str) -> Meant:
        """Is that its name, as a person has put it on record: an id, or a pseudonym?"""
        if PSEUDONYM.fullmatch(given):
            return self.same(kind, {"id_p": given}, "id_p", "")
        return self.same(kind, {}, "", given)


def merged(names: Iterable[Name], opener: Opener) -> dict[Name, Name]:
    """Each name to the one that it is shown by: the pseudonyms of somebody whose real id is known are that somebody."""
    every = list(dict.fromkeys(names))
    known = {
        (each.kind, pseudonym): each
        for each in every
        if each.id and not each.hidden
        for pseudonym in opener.names(each.kind, each.id)
    }
    return {each: known.get((each.kind, each.id), each) if each.hidden else each for each in every}
