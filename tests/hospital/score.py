"""How well a detection did: what it told of, held against what was planted.

A *claim* is what somebody is told of: a case, a subject's day. It is right when it rests on at least one labelled
access (or, for a silence, when it overlaps it). A plant is found when some claim rests on one of its accesses. Access
by access: those that claims rest on, against those that are labelled.
"""

from __future__ import annotations

import csv
import json
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pdp.audit.leaf import Leaf, leaves
from pdp.audit.veil.privacy import Keys, vault_of
from tests.hospital.hospital import AUDIT, CONTEXT, PLANTS, RULES, TRUTH

if TYPE_CHECKING:
    from pdp.audit.detect.report import Report

NOW: Final = 2**62
"""Later than anything in a log."""
SILENCE: Final = "silence"
SLACK: Final = 180_000_000
VOLUME: Final = 3.0
"""Times the median of the role: what the peer by volume alone takes for too much."""


@dataclass(frozen=True, slots=True)
class Claim:
    """`silent`: it says that a stream was silent. Times in microseconds."""

    decisions: frozenset[str]
    rules: frozenset[str] = frozenset()
    first: int = 0
    last: int = 0
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Plant:
    number: str
    kind: str
    rule: str
    grade: str
    first: int
    last: int
    decisions: frozenset[str]


@dataclass(slots=True)
class Truth:
    plants: list[Plant]
    days: float

    @classmethod
    def read(cls, directory: Path, days: float) -> Truth:
        of: dict[str, set[str]] = {}
        for row in _rows(directory / TRUTH):
            of.setdefault(row["plant"], set()).add(row["decision"])
        made = [
            Plant(
                row["plant"],
                row["kind"],
                row["rule"],
                row["grade"],
                _moment(row["first"]),
                _moment(row["last"]),
                frozenset(of.get(row["plant"], ())),
            )
            for row in _rows(directory / PLANTS)
        ]
        return cls(made, days)

    @property
    def bad(self) -> frozenset[str]:
        return frozenset().union(*(each.decisions for each in self.plants))


@dataclass(slots=True)
class Score:
    """Shares are 0 to 1; of nothing, 1."""

    claims: int = 0
    right: int = 0
    plants: int = 0
    found: int = 0
    flagged: int = 0
    flagged_right: int = 0
    labelled: int = 0
    days: float = 1.0
    by_kind: dict[str, tuple[int, int]] = field(default_factory=dict)
    by_grade: dict[str, tuple[int, int]] = field(default_factory=dict)
    missed: list[Plant] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)  # rules of claims that were not right

    @property
    def precision(self) -> float:
        return _share(self.right, self.claims)

    @property
    def recall(self) -> float:
        return _share(self.found, self.plants)

    @property
    def access_precision(self) -> float:
        return _share(self.flagged_right, self.flagged)

    @property
    def access_recall(self) -> float:
        return _share(self.flagged_right, self.labelled)

    @property
    def alerts_a_day(self) -> float:
        return self.claims / self.days

    @property
    def wrong_a_day(self) -> float:
        return (self.claims - self.right) / self.days


def score(truth: Truth, claims: Iterable[Claim]) -> Score:
    made, bad = Score(days=truth.days, labelled=len(truth.bad), plants=len(truth.plants)), truth.bad
    silences = [each for each in truth.plants if each.kind == SILENCE]
    flagged: set[str] = set()
    found: set[str] = set()
    whose = {decision: each.number for each in truth.plants for decision in each.decisions}
    for claim in claims:
        made.claims += 1
        flagged |= claim.decisions
        hit = {whose[each] for each in claim.decisions & bad}
        if claim.silent:
            near = (each for each in silences if claim.first - SLACK <= each.last and each.first <= claim.last + SLACK)
            hit |= {each.number for each in near}
        made.right += bool(hit)
        found |= hit
        if not hit:
            made.wrong.update(claim.rules)
    made.found = len(found)
    made.flagged, made.flagged_right = len(flagged), len(flagged & bad)
    made.missed = [each for each in truth.plants if each.number not in found]
    for name, table in (("kind", made.by_kind), ("grade", made.by_grade)):
        for each in truth.plants:
            done, of = table.get(getattr(each, name), (0, 0))
            table[getattr(each, name)] = (done + (each.number in found), of + 1)
    return made


def detected(directory: Path, explaining: bool = True) -> Report:
    """Our detection over a hospital that was written there. `explaining` False: the peer that knows rules alone."""
    from pdp.audit.detect.context import Context
    from pdp.audit.detect.detector import Detector
    from pdp.audit.detect.replay import replay
    from pdp.audit.detect.rules import load

    vault = vault_of(directory / AUDIT)
    assert vault is not None
    opener = Keys(vault)
    rules = load(directory / RULES)
    if not explaining:
        rules = replace(rules, templates=())
    detector = Detector(rules, Context.load(directory / CONTEXT), opener, NOW)
    return replay(leaves(directory / AUDIT, opener), detector)


def claims(report: Report) -> list[Claim]:
    """The cases that somebody is told of, with all that they rest on."""
    rules, bar = report.detector.by_id, report.detector.rules.alert_score
    made = []
    for case in report.cases:
        if case.score(rules) < bar:
            continue
        rested = frozenset(place.id for each in case.findings for place in each.places)
        which = frozenset(each.rule for each in case.findings)
        silent = any(rules[each].kind == SILENCE for each in which)
        made.append(Claim(rested, which, case.first, case.last, silent))
    return made


def by_volume(directory: Path) -> list[Claim]:
    """A peer: whoever sees three times as many patients in a day as is usual in the role."""
    vault = vault_of(directory / AUDIT)
    assert vault is not None
    roles = _roles(directory)
    seen: dict[tuple[str, int], dict[str, set[str]]] = {}
    for leaf in leaves(directory / AUDIT, Keys(vault)):
        who, whom = _who(leaf), str(leaf.detail.get("patient", {}).get("id", ""))
        if leaf.kind == "decision" and who in roles and whom:
            seen.setdefault((who, leaf.time // 86_400_000_000), {}).setdefault(whom, set()).add(leaf.id)
    counts: dict[str, list[int]] = {}
    for (who, _), patients in seen.items():
        counts.setdefault(roles[who], []).append(len(patients))
    usual = {role: statistics.median(each) for role, each in counts.items()}
    return [
        Claim(frozenset().union(*patients.values()), frozenset({"volume"}))
        for (who, _), patients in seen.items()
        if len(patients) > VOLUME * usual[roles[who]]
    ]


def _who(leaf: Leaf) -> str:
    return str(leaf.detail.get("sub", {}).get("id", ""))


def _roles(directory: Path) -> dict[str, str]:
    found = {}
    with (directory / CONTEXT / "entities.jsonl").open(encoding="utf-8") as file:
        for line in file:
            each = json.loads(line)
            if each["type"] == "user":
                found[each["id"]] = each["attributes"]["role"]
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _moment(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
