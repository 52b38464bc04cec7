"""What an incident touched: patients, records, people, and what the log can say of the four factors (45 CFR 164.402).

What the log cannot know stays open in the worksheet: it is never filled in as harmless.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from pdp.audit.asking.deeds import NOBODY, Deed, Name, merged, text
from pdp.audit.asking.period import brief
from pdp.audit.leaf import Opener
from pdp.audit.reports.access import NO_PURPOSE, NONE, Proof

MANY: Final = 500
"""Of so many residents of a State the media are told, and the Secretary at once (164.406, 164.408)."""
TO_BE_SAID: Final = "(to be filled in)"


@dataclass(slots=True)
class Touched:
    """How often, and whether it was allowed."""

    allowed: int = 0
    denied: int = 0
    pseudonyms: set[str] = field(default_factory=set)

    def add(self, one: Deed) -> None:
        if one.allowed:
            self.allowed += one.count
        else:
            self.denied += one.count


@dataclass(slots=True)
class Incident:
    """`unknown`: accesses of which nobody can say whose data it was."""

    patients: dict[Name, Touched] = field(default_factory=dict)
    people: dict[Name, Touched] = field(default_factory=dict)
    proofs: dict[Proof, None] = field(default_factory=dict)
    first: int = 0
    last: int = 0
    allowed: int = 0
    denied: int = 0
    unknown: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    purposes: Counter[str] = field(default_factory=Counter)
    clients: Counter[str] = field(default_factory=Counter)
    issuers: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    masked: Counter[str] = field(default_factory=Counter)
    released: Counter[str] = field(default_factory=Counter)
    named: int = 0  # ids that searches gave away
    ids: set[str] = field(default_factory=set)

    @property
    def reached(self) -> int:
        """Patients of whom something was allowed to leave."""
        return sum(bool(each.allowed) for each in self.patients.values())


def incident(deeds: Iterable[Deed], opener: Opener, kind: str) -> Incident:
    """`deeds`: those that are meant. `kind`: the (wire) type of patients."""
    found = Incident()
    for one in deeds:
        _add(found, one, kind)
    found.patients = _together(found.patients, opener)
    found.people = _together(found.people, opener)
    return found


def _add(found: Incident, one: Deed, kind: str) -> None:
    time, again = one.leaf.time, one.leaf.id in found.ids
    found.ids.add(one.leaf.id)
    found.proofs[Proof(one.leaf.id, one.leaf.index)] = None
    found.first, found.last = min(found.first or time, time), max(found.last, time)
    _whose(found, one, kind, again)
    if again:
        return
    if one.allowed:
        found.allowed += one.count
        _fields(found, one)
    else:
        found.denied += one.count
        found.reasons[one.reason or NONE] += one.count
    found.people.setdefault(one.who, Touched()).add(one)
    found.kinds[f"{one.action or NONE} {one.resource.kind}".strip()] += one.count
    found.purposes[one.purpose or NO_PURPOSE] += one.count
    found.rules.update(one.rules)
    if one.client:
        found.clients[one.client] += one.count
    if issuer := text(one.leaf.members, "identity", "issuer"):
        found.issuers[issuer] += one.count


def _whose(found: Incident, one: Deed, kind: str, again: bool) -> None:
    names = {one.patient} if one.patient != NOBODY else set()
    if one.resource.kind == kind and one.resource.id:
        names.add(Name(kind, one.resource.id, one.resource.hidden))
    if one.searched == kind:
        names |= {Name(kind, each) for each in one.named}
        found.named += len(one.named)
    for each in names:
        touched = found.patients.setdefault(Name(kind, each.id, each.hidden), Touched())
        touched.add(one)
        pseudonym = text(one.leaf.members, "res", "patient_p")
        if pseudonym and each == one.patient:
            touched.pseudonyms.add(pseudonym)
    found.unknown += not names and not again


def _fields(found: Incident, one: Deed) -> None:
    decided = one.leaf.members.get("dec")
    limits = decided.get("fields") if isinstance(decided, dict) else None
    if isinstance(limits, dict):
        found.masked.update(each for each in limits.get("masked") or () if isinstance(each, str))
        found.released.update(each for each in limits.get("released") or () if isinstance(each, str))
    else:
        found.released["(everything)"] += one.count


def _together(names: dict[Name, Touched], opener: Opener) -> dict[Name, Touched]:
    shown = merged(names, opener)
    found: dict[Name, Touched] = {}
    for name, touched in names.items():
        into = found.setdefault(shown[name], Touched())
        into.allowed += touched.allowed
        into.denied += touched.denied
        into.pseudonyms |= touched.pseudonyms | ({name.id} if name.hidden else set())
    return dict(sorted(found.items()))


def worksheet(found: Incident) -> list[tuple[str, list[str]]]:
    """The four factors, with what the log knows; what it does not is to be filled in by a person."""
    unopened = f"{found.unknown:,} records do not say whose data it was" if found.unknown else ""
    nature = [
        f"{times:,}x {what}" for what, times in found.kinds.most_common()
    ] + [f"fields released: {', '.join(sorted(found.released)) or 'none on record'}"]  # fmt: skip
    nature += [f"fields masked: {', '.join(sorted(found.masked)) or 'none'}", unopened]
    who = [f"{name} ({each.allowed:,} allowed, {each.denied:,} denied)" for name, each in found.people.items()]
    who += [f"by way of {client}" for client in sorted(found.clients)]
    acquired = [
        f"{found.allowed:,} accesses were allowed, of {found.reached:,} patients: what was asked for could be taken",
        f"{found.denied:,} were denied, and gave nothing away",
        f"searches named {found.named:,} ids" if found.named else "",
        "whether a response was sent and read, the log of decisions does not say",
    ]
    return [
        ("(i) nature and extent of the information", [*filter(None, nature), f"identifiers in it: {TO_BE_SAID}"]),
        ("(ii) who used it, or to whom it was disclosed", [*who, f"obligations to protect it: {TO_BE_SAID}"]),
        ("(iii) was it actually acquired or viewed?", [*filter(None, acquired)]),
        ("(iv) how far the risk has been mitigated", [TO_BE_SAID]),
    ]


def members(found: Incident) -> dict[str, Any]:
    return {
        "first": brief(found.first) if found.first else None,
        "last": brief(found.last) if found.last else None,
        "allowed": found.allowed,
        "denied": found.denied,
        "patients_affected": len(found.patients),
        "patients_of_whom_something_was_allowed": found.reached,
        "patient_not_known": found.unknown,
        "patients": [
            {
                "id": "" if name.hidden else name.id,
                "pseudonyms": sorted(each.pseudonyms),
                "allowed": each.allowed,
                "denied": each.denied,
            }
            for name, each in found.patients.items()
        ],
        "people": [
            {"type": name.kind, "id": name.id, "pseudonym": name.hidden, "allowed": each.allowed, "denied": each.denied}
            for name, each in found.people.items()
        ],
        "actions": dict(found.kinds),
        "purposes": dict(found.purposes),
        "clients": dict(found.clients),
        "issuers": dict(found.issuers),
        "denied_because": dict(found.reasons),
        "rules": dict(found.rules),
        "fields_released": dict(found.released),
        "fields_masked": dict(found.masked),
        "records": [{"decision": each.decision, "index": each.index} for each in found.proofs],
        "worksheet": [{"factor": factor, "says": says} for factor, says in worksheet(found)],
    }
