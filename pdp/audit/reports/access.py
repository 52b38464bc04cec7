"""Who saw this patient: one line for each person, with how often, why, whether allowed, and where that is proven."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from pdp.audit.asking.deeds import NOBODY, Deed, Name, merged
from pdp.audit.asking.period import brief
from pdp.audit.leaf import CLEAR, Opener

EMERGENCY: Final = frozenset({"ETREAT", "BTG", "ERTREAT"})
"""HL7 v3 ActReason: emergency treatment, break the glass, emergency room treatment."""
NO_PURPOSE: Final = "(none stated)"
NONE: Final = "(none)"


@dataclass(frozen=True, slots=True)
class Proof:
    """A decision and its place in the log; None: not sealed yet."""

    decision: str
    index: int | None

    def __str__(self) -> str:
        return f"{self.decision} ({'not sealed yet' if self.index is None else f'index {self.index}'})"


@dataclass(slots=True)
class Line:
    """One person's accesses."""

    who: Name
    allowed: int = 0
    denied: int = 0
    first: int = 0
    last: int = 0
    emergency: int = 0  # with a purpose that breaks the glass
    unopened: int = 0
    clients: Counter[str] = field(default_factory=Counter)
    askers: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    purposes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)  # of what was denied
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)  # (digest of the policy set, rule)
    proofs: dict[Proof, None] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)

    @property
    def times(self) -> int:
        return self.allowed + self.denied

    def add(self, one: Deed, emergency: Collection[str]) -> None:
        if one.leaf.id not in self.ids:  # A search that named many goes on in further records of the same decision.
            self.ids.add(one.leaf.id)
            self._count(one, emergency)
        time = one.leaf.time
        self.first = min(self.first or time, time)
        self.last = max(self.last, time)
        self.unopened += one.leaf.opened != CLEAR
        self.proofs[Proof(one.leaf.id, one.leaf.index)] = None

    def _count(self, one: Deed, emergency: Collection[str]) -> None:
        if one.allowed:
            self.allowed += one.count
        else:
            self.denied += one.count
            self.reasons[one.reason or NONE] += one.count
        self.actions[f"{one.action or NONE} {one.resource.kind}".strip()] += one.count
        self.purposes[one.purpose or NO_PURPOSE] += one.count
        self.emergency += one.count if one.purpose in emergency else 0
        self.rules.update((one.digest, rule) for rule in one.rules)
        if one.client:
            self.clients[one.client] += one.count
        if one.asker != NOBODY:
            self.askers[str(one.asker)] += one.count

    def absorb(self, other: Line) -> None:
        self.allowed += other.allowed
        self.denied += other.denied
        self.first = min(self.first or other.first, other.first or self.first)
        self.last = max(self.last, other.last)
        self.emergency += other.emergency
        self.unopened += other.unopened
        for name in ("clients", "askers", "actions", "purposes", "reasons", "rules"):
            getattr(self, name).update(getattr(other, name))
        self.proofs |= other.proofs
        self.ids |= other.ids

    def members(self, sentence: Callable[[str, str], str]) -> dict[str, Any]:
        return {
            "who": {"type": self.who.kind, "id": self.who.id, "pseudonym": self.who.hidden},
            "times": self.times,
            "allowed": self.allowed,
            "denied": self.denied,
            "first": brief(self.first),
            "last": brief(self.last),
            "actions": dict(self.actions),
            "purposes": dict(self.purposes),
            "break_glass": self.emergency,
            "denied_because": dict(self.reasons),
            "rules": [
                {"rule": rule, "policy_set": digest, "times": times, "says": sentence(digest, rule)}
                for (digest, rule), times in sorted(self.rules.items(), key=lambda item: item[0][1])
            ],
            "clients": dict(self.clients),
            "asked_by": dict(self.askers),
            "not_opened": self.unopened,
            "records": [{"decision": each.decision, "index": each.index} for each in self.proofs],
        }


@dataclass(slots=True)
class Access:
    """`withheld`: disclosures of which nobody may be told now. They are in no line; the operator alone is told."""

    lines: list[Line]
    withheld: int = 0


def access(
    deeds: Iterable[Deed],
    opener: Opener,
    emergency: Collection[str] = EMERGENCY,
    withheld: Callable[[Deed], bool] = lambda _: False,
) -> Access:
    """The lines, most frequent first. `deeds`: those about the patient."""
    lines: dict[Name, Line] = {}
    found = Access([])
    for one in deeds:
        if withheld(one):
            found.withheld += 1
        else:
            lines.setdefault(one.who, Line(one.who)).add(one, emergency)
    shown = merged(lines, opener)
    together: dict[Name, Line] = {}
    for name, line in lines.items():
        if shown[name] in together:
            together[shown[name]].absorb(line)
        else:
            line.who = shown[name]
            together[shown[name]] = line
    found.lines = sorted(together.values(), key=lambda each: (-each.times, each.who))
    return found
