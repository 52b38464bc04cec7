"""The accounting of disclosures, 45 CFR 164.528: what left the house about one patient, to whom, what and why.

Entries are decisions with the verb T that were allowed, and records of kind `disclosure` that people made. A record may
complete a decision (it names it) or replace an earlier record. What is excluded is told as counts, what is incomplete
says what it lacks (M22), and what is suspended is nowhere in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pdp.audit.asking.asked import UNKNOWN, YES, Meant
from pdp.audit.asking.deeds import Deed, Sought, deed, text
from pdp.audit.asking.period import Period, brief
from pdp.audit.leaf import CLEAR, Leaf, instant
from pdp.audit.reports.access import Proof
from pdp.audit.reports.bases import ACCOUNTED, BASES, EXCLUSIONS, PURPOSES, SUSPENDABLE, basis
from pdp.audit.reports.suspensions import KIND as SUSPEND
from pdp.audit.reports.suspensions import Silence, plain, silence

KIND: Final = "disclosure"
KINDS: Final = (KIND, SUSPEND)
"""What is needed of all time."""


@dataclass(slots=True)
class Entry:
    """One disclosure. Times in microseconds since the epoch."""

    date: int
    name: str
    address: str
    what: str
    purpose: str  # the statement
    basis: str  # a key of `BASES`
    proofs: list[Proof]
    ids: tuple[str, ...] = ()  # of the recipient, as the log knows it
    by_hand: bool = False

    @property
    def lacking(self) -> list[str]:
        """What 164.528(b)(2) wants and this does not say. The address is wanted where it is known."""
        found = [] if self.name else ["the name of the recipient"]
        found += [] if self.what else ["what was disclosed"]
        found += [] if self.purpose or self.basis != "other" else ["the purpose"]
        return found

    @property
    def recipient(self) -> str:
        return self.name or (f"({', '.join(self.ids)})" if self.ids else "(not on record)")

    @property
    def why(self) -> str:
        said = BASES.get(self.basis, self.basis)
        return f"{self.purpose}: {said}" if self.purpose else said


@dataclass(slots=True)
class Row:
    """One entry, or several to one recipient for one purpose, as 164.528(b)(3) allows: first, how many, last."""

    first: Entry
    entries: list[Entry]

    def members(self) -> dict[str, Any]:
        one = self.first
        return {
            "date": brief(one.date),
            "times": len(self.entries),
            "last": brief(self.entries[-1].date),
            "recipient": {"name": one.name, "address": one.address, "ids": list(one.ids)},
            "description": one.what,
            "purpose": one.purpose,
            "basis": one.basis,
            "basis_says": BASES.get(one.basis, one.basis),
            "lacking": one.lacking,
            "by_hand": one.by_hand,
            "records": [
                {"decision": each.decision, "index": each.index} for entry in self.entries for each in entry.proofs
            ],
        }


@dataclass(slots=True)
class Accounting:
    """`withheld` and `doubtful` are for the operator alone, never for the individual."""

    rows: list[Row] = field(default_factory=list)
    excluded: Counter[str] = field(default_factory=Counter)
    replaced: int = 0
    uncertain: int = 0
    incomplete: int = 0
    withheld: int = 0
    doubtful: list[str] = field(default_factory=list)  # other agencies, while a suspension runs


def said(
    *,
    patient_kind: str,
    patient: str,
    recipient: str,
    address: str,
    what: str,
    purpose: str,
    basis: str,
    date: str,
    decision: str = "",
    replaces: str = "",
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The members of a record of kind `disclosure`, and its detail: what identifies somebody."""
    detail = {
        "patient": {"type": patient_kind, "id": patient},
        "recipient": recipient,
        "address": address,
        "what": what,
        "purpose": purpose,
    }
    links = {name: value for name, value in (("decision", decision), ("replaces", replaces)) if value}
    return {"basis": basis, "date": date, **links}, detail


def named_by_hand(leaves: Iterable[Leaf]) -> dict[str, tuple[str, str]]:
    """Decisions of which a person said more: the name of the recipient, and the basis."""
    made = (each for each in leaves if each.kind == KIND and text(each.members, "decision"))
    return {
        text(each.members, "decision"): (text(each.detail, "recipient"), text(each.members, "basis")) for each in made
    }


def accounting(
    leaves: Iterable[Leaf],
    told: Iterable[Leaf],
    patient: Sought,
    period: Period,
    now: int,
    purposes: Mapping[str, str] = PURPOSES,
    each: bool = False,
) -> Accounting:
    """Of the period, by the date of the disclosure. `leaves`: decisions about the patient; `told`: records of `KINDS`,
    of all time, since what is told later counts too. `now`: when it is asked, which says what is suspended. `each`:
    nothing is summarised.
    """
    found, completed = Accounting(), dict[str, Entry]()
    told = list(told)
    hidden = silence(told, patient, now)
    entries = _by_hand((leaf for leaf in told if leaf.kind == KIND), patient, found, completed)
    entries += _decided(map(deed, leaves), purposes, completed, hidden)
    kept = []
    for entry in entries:
        if entry.date not in period:
            continue
        if hidden.hides(entry.basis, entry.name, entry.ids):
            found.withheld += 1
        elif entry.basis in EXCLUSIONS:
            found.excluded[entry.basis] += 1
        else:
            if hidden and entry.basis in SUSPENDABLE:
                found.doubtful.append(entry.recipient)
            found.incomplete += bool(entry.lacking)
            kept.append(entry)
    found.rows = _rows(sorted(kept, key=lambda entry: entry.date), each)
    return found


def _by_hand(made: Iterable[Leaf], patient: Sought, found: Accounting, completed: dict[str, Entry]) -> list[Entry]:
    """Those that people made. `completed`: the decisions of which they say more."""
    ours: dict[str, Entry] = {}
    for leaf in made:
        replaces = text(leaf.members, "replaces")
        if replaces in ours:  # Only what was about the same patient is replaced.
            _forget(completed, ours.pop(replaces))
            found.replaced += 1
        meant = _about(leaf, patient)
        if meant is not YES:
            found.uncertain += meant is UNKNOWN
            continue
        entry = _entry(leaf)
        ours[leaf.id] = entry
        if decision := text(leaf.members, "decision"):
            completed[decision] = entry
    return list(ours.values())


def _forget(completed: dict[str, Entry], gone: Entry) -> None:
    for name in [name for name, entry in completed.items() if entry is gone]:
        del completed[name]


def _about(leaf: Leaf, patient: Sought) -> Meant:
    """Is a record that somebody made about this patient?"""
    given = leaf.detail.get("patient")
    if leaf.opened != CLEAR or not isinstance(given, Mapping):
        return UNKNOWN
    return patient.called(text(given, "type") or patient.kind, text(given, "id"))


def _entry(leaf: Leaf) -> Entry:
    basis_said = text(leaf.members, "basis")
    return Entry(
        instant(text(leaf.members, "date")) or leaf.time,
        text(leaf.detail, "recipient"),
        text(leaf.detail, "address"),
        text(leaf.detail, "what"),
        text(leaf.detail, "purpose"),
        basis_said if basis_said in BASES else "other",
        [Proof(leaf.id, leaf.index)],
        by_hand=True,
    )


def _decided(
    deeds: Iterable[Deed], purposes: Mapping[str, str], completed: Mapping[str, Entry], hidden: Silence
) -> list[Entry]:
    entries: dict[str, Entry] = {}
    for one in deeds:
        if not one.discloses or not one.allowed:
            continue
        proof = Proof(one.leaf.id, one.leaf.index)
        known = completed.get(one.leaf.id) or entries.get(one.leaf.id)
        if known is not None:  # A person has said more of it, or it is a search that goes on.
            known.proofs.append(proof)
            known.ids = known.ids or _ids(one, hidden)
        else:
            what = f"{one.action} {one.resource.kind}".strip()
            why = basis(one.purpose, purposes)
            entries[one.leaf.id] = Entry(one.leaf.time, "", "", what, one.purpose, why, [proof], _ids(one, hidden))
    return list(entries.values())


def _ids(one: Deed, hidden: Silence) -> tuple[str, ...]:
    """An agency behind a pseudonym, of which nobody may be told now, is known by it too."""
    behind = hidden.behind(one.who) if one.who.hidden else ()
    return tuple(dict.fromkeys(each for each in (one.client, one.who.id, *behind) if each))


def _rows(entries: Iterable[Entry], each: bool) -> list[Row]:
    rows: dict[Any, Row] = {}
    for number, entry in enumerate(entries):
        recipient = plain(entry.name) or entry.ids or number
        key = number if each or entry.basis not in ACCOUNTED else (recipient, entry.basis, plain(entry.purpose))
        if key in rows:
            rows[key].entries.append(entry)
        else:
            rows[key] = Row(entry, [entry])
    return list(rows.values())
