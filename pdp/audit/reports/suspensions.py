"""Temporary suspensions of the right to an accounting (45 CFR 164.528(a)(2)), as records of the log.

An agency says in writing until when, or orally, which holds for 30 days at most. While one runs, the disclosures to
that agency are in no report that the individual may see; that some are withheld is told to the operator alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pdp.audit.asking.asked import NO
from pdp.audit.asking.deeds import Deed, Name, Sought, text
from pdp.audit.leaf import CLEAR, PLAIN, Leaf, Opener, instant
from pdp.audit.reports.bases import PURPOSES, SUSPENDABLE, basis

KIND: Final = "disclosure.suspend"
ORAL_MICROSECONDS: Final = 30 * 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class Suspension:
    """`patient` "": of everybody. `known`: ids of subjects or clients under which the agency asks."""

    id: str
    oral: bool
    start: int
    end: int
    agency: str
    reason: str
    kind: str  # of the patient
    patient: str
    known: frozenset[str]
    opened: bool
    leaf: Leaf

    def runs(self, now: int) -> bool:
        return self.start <= now < self.end

    def about(self, patient: Sought) -> bool:
        """Where it cannot be opened, or nobody can tell whom it names, it may be about anybody."""
        if not self.opened or not self.patient:
            return True
        return patient.called(self.kind or patient.kind, self.patient) is not NO


def said(
    *, agency: str, patient_kind: str, patient: str, oral: bool, start: str, end: str, reason: str, known: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The members of such a record, and its detail."""
    detail: dict[str, Any] = {"agency": agency, "reason": reason, "known": sorted(known)}
    if patient:
        detail["patient"] = {"type": patient_kind, "id": patient}
    return {"statement": "oral" if oral else "written", "from": start, "until": end}, detail


def suspensions(leaves: Iterable[Leaf]) -> list[Suspension]:
    """All that were not lifted, in the order of their records."""
    found: dict[str, Suspension] = {}
    for each in leaves:
        lifted = text(each.members, "lifts")
        if lifted:
            found.pop(lifted, None)
        else:
            found[each.id] = _suspension(each)
    return list(found.values())


def _suspension(leaf: Leaf) -> Suspension:
    oral = text(leaf.members, "statement") != "written"
    start, end = instant(text(leaf.members, "from")), instant(text(leaf.members, "until"))
    known = leaf.detail.get("known")
    return Suspension(
        leaf.id,
        oral,
        start,
        min(end, start + ORAL_MICROSECONDS) if oral else end,
        text(leaf.detail, "agency"),
        text(leaf.detail, "reason"),
        text(leaf.detail, "patient", "type"),
        text(leaf.detail, "patient", "id"),
        frozenset(map(str, known)) if isinstance(known, list) else frozenset(),
        leaf.opened == CLEAR,
        leaf,
    )


def same(one: str, other: str) -> str:
    """The name that both have, however it is spelt: case, accents, signs and spaces aside. "": they differ."""
    return plain(one) if plain(one) == plain(other) else ""


def plain(name: str) -> str:
    whole = unicodedata.normalize("NFKD", name).casefold()
    return re.sub(r"[\W_]+", " ", "".join(each for each in whole if not unicodedata.combining(each))).strip()


class Silence:
    """What must not be told now about one patient."""

    def __init__(self, running: Iterable[Suspension], opener: Opener = PLAIN) -> None:
        self.running = list(running)
        self._opener = opener

    def __bool__(self) -> bool:
        return bool(self.running)

    def hides(self, ground: str, name: str, ids: Iterable[str] = ()) -> bool:
        """A disclosure to this recipient, of this name and these ids, on this basis?

        On a basis that can be suspended, a recipient without a name may be the agency, and an agency that cannot be
        opened may be anyone.
        """
        given = {plain(each) for each in ids if each}
        suspendable = ground in SUSPENDABLE or ground == "other"
        for each in self.running:
            if name and each.agency and same(name, each.agency):
                return True
            if given & {plain(one) for one in (*each.known, each.agency) if one}:
                return True
            if suspendable and (not name or not each.opened):
                return True
        return False

    def deed(self, one: Deed, by_hand: Mapping[str, tuple[str, str]], purposes: Mapping[str, str] = PURPOSES) -> bool:
        """A decision: whoever asked is the recipient, and whoever a person named. `by_hand`: name and basis.
        `purposes`: what codes rest on beside those that everybody knows.
        """
        if not self.running:
            return False
        ids = [each for each in (one.who.id, one.client, one.asker.id) if each]
        ids += [each for name in (one.who, one.asker) if name.hidden for each in self.behind(name)]
        name, ground = by_hand.get(one.leaf.id, ("", ""))
        if one.discloses or name:
            return self.hides(ground or basis(one.purpose, purposes), name, ids)
        given = {plain(each) for each in ids}
        return any(given & {plain(known) for known in each.known} for each in self.running)

    def behind(self, name: Name) -> Iterable[str]:
        """The known ids that stand as this pseudonym, where nothing else was opened."""
        known = {each for running in self.running for each in (*running.known, running.agency) if each}
        return [each for each in known if name.id in self._opener.names(name.kind, each)]


def silence(leaves: Iterable[Leaf], patient: Sought, now: int) -> Silence:
    """`leaves`: of which those that suspend are taken."""
    told = [each for each in leaves if each.kind == KIND]
    return Silence((each for each in suspensions(told) if each.runs(now) and each.about(patient)), patient.opener)


def members(each: Suspension, now: int) -> Mapping[str, Any]:
    return {
        "id": each.id,
        "agency": each.agency,
        "statement": "oral" if each.oral else "written",
        "from": text(each.leaf.members, "from"),
        "until": text(each.leaf.members, "until"),
        "patient": each.patient,
        "reason": each.reason,
        "runs": each.runs(now),
        "opened": each.opened,
    }
