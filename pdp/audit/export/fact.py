"""What an exported record says, whatever the format: the deed, and what else of it the systems of others have room for.

Real ids of patients and resources are in it only when whoever exports asks for identities and has the keys; else what
stands in the clear part of the record, which is pseudonyms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pdp.audit.asking.asked import PATIENT
from pdp.audit.asking.deeds import NOBODY, Deed, Name, deed, text
from pdp.audit.leaf import CLEAR, Leaf
from pdp.audit.record import DECISION, RESULTS

DECISIONS: Final = frozenset({DECISION, RESULTS})
SEARCHES: Final = 1_000
VERBS: Final = {"C": "create", "R": "read", "U": "update", "D": "delete", "E": "execute", "Q": "query", "T": "disclose"}


@dataclass(frozen=True, slots=True)
class Fact:
    """`status`: why it was refused before any rule. What a record does not say is ""."""

    leaf: Leaf
    deed: Deed
    door: str
    pep: str
    data: str  # the revision of the data beside the policies
    issuer: str
    via: str
    method: str
    route: str
    request: str
    trace: str
    scopes: tuple[str, ...]
    obligations: tuple[str, ...]

    @property
    def results(self) -> tuple[Name, ...]:
        """What a page of a search gave away."""
        return tuple(Name(self.deed.searched, each) for each in self.deed.named)

    @property
    def patients(self) -> tuple[Name, ...]:
        """Whose data it is about; of a search for patients, each that was found."""
        found = self.results if self.deed.searched == PATIENT else ()
        return ((self.deed.patient,) if self.deed.patient != NOBODY else ()) + found


class Whole:
    """A search that found much goes on in further records, which name alone what was found: they are told with the rest
    of what the first one says. Remembers the first ones, the last `SEARCHES` of them.
    """

    def __init__(self) -> None:
        self._firsts: dict[str, Leaf] = {}

    def of(self, leaf: Leaf) -> Leaf:
        if leaf.kind == DECISION and "search" in leaf.members:
            self._firsts.pop(leaf.id, None)
            self._firsts[leaf.id] = leaf
            if len(self._firsts) > SEARCHES:
                del self._firsts[next(iter(self._firsts))]
        first = self._firsts.get(leaf.id) if leaf.kind == RESULTS else None
        if first is None or first.stream != leaf.stream:
            return leaf
        detail = {**first.detail, **leaf.detail} if leaf.opened == CLEAR else leaf.detail
        return replace(leaf, members={**first.members, **leaf.members}, detail=detail)


def fact(leaf: Leaf, identities: bool = False) -> Fact:
    """`identities`: real ids too, where the detail could be opened."""
    leaf = leaf if identities else replace(leaf, detail={})
    said = leaf.members
    return Fact(
        leaf,
        deed(leaf),
        text(said, "door"),
        text(said, "pep"),
        text(said, "dec", "bundle", "version"),
        text(said, "identity", "issuer") or text(said, "refused_token", "issuer"),
        text(said, "identity", "via"),
        text(said, "act", "method"),
        text(said, "act", "route"),
        text(said, "ctx", "request_id"),
        text(said, "ctx", "trace"),
        tuple(map(str, _listed(said, "identity", "scopes"))),
        tuple(text(each, "name") for each in _listed(said, "dec", "obligations")),
    )


def _listed(said: Mapping[str, Any], part: str, name: str) -> list[Any]:
    found = said.get(part)
    listed = found.get(name) if isinstance(found, Mapping) else None
    return listed if isinstance(listed, list) else []


def given(**said: Any) -> dict[str, Any]:
    """What is there of it."""
    return {name: value for name, value in said.items() if value}
