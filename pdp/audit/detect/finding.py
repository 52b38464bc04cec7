"""What was found, and the case that it belongs to: one for each subject, with a score that is a sum of named parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, NamedTuple

from pdp.audit.detect.access import Place
from pdp.audit.detect.rules import Rule

NO_PERSON: Final = frozenset({"stream", "service", "client"})
"""Types of subjects whose id says nothing of anybody."""
MAX_PLACES: Final = 50
AGAIN: Final = 1.5
"""A case is told of again when its score has grown by so much."""


@dataclass(slots=True)
class Finding:
    """`key` says nothing of anybody. `count`: of the hits that it gathers. Times in microseconds."""

    key: str
    rule: str
    title: str
    type: str
    who: str
    patient: str
    first: int
    last: int
    points: int
    because: str
    places: list[Place]
    bucket: int
    count: int = 1
    case: str = ""
    recorded: bool = False

    @property
    def identity(self) -> tuple[str, str, str, str, int]:
        return (self.rule, self.type, self.who, self.patient, self.bucket)

    def again(self, time: int, points: int, because: str, places: Iterable[Place]) -> None:
        self.count += 1
        self.last = max(self.last, time)
        if points >= self.points:
            self.points, self.because = points, because
        for place in places:
            if place not in self.places and len(self.places) < MAX_PLACES:
                self.places.append(place)

    def dump(self) -> list[Any]:
        return [
            *(self.key, self.rule, self.title, self.type, self.who, self.patient, self.first, self.last),
            *(self.points, self.because, [list(each) for each in self.places], self.bucket),
            *(self.count, self.case, self.recorded),
        ]

    @classmethod
    def load(cls, said: list[Any]) -> Finding:
        made = cls(*said)
        made.places = [Place(index, name) for index, name in said[10]]
        return made


def key(rule: str, place: Place, kind: str, bucket: int) -> str:
    return "f-" + sha256(f"{rule}|{place.id}|{kind}|{bucket}".encode()).hexdigest()[:16]


class Part(NamedTuple):
    """One rule's share of a score."""

    rule: str
    title: str
    findings: int
    points: int

    @property
    def says(self) -> str:
        times = f", {self.findings} findings" if self.findings > 1 else ""
        return f"{self.points} for {self.rule} ({self.title}{times})"


@dataclass(slots=True)
class Case:
    """`told`: the score when somebody was last told of it."""

    id: str
    type: str
    who: str
    first: int
    last: int
    findings: list[Finding] = field(default_factory=list)
    told: int = 0
    _titles: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    _sums: dict[str, list[int]] = field(default_factory=dict, repr=False, compare=False)
    """Of each rule: the points of the strongest finding, and how many there are. Not each time from all of them."""

    def add(self, finding: Finding) -> None:
        self.findings.append(finding)
        self._titles.setdefault(finding.rule, finding.title)
        self._sums.setdefault(finding.rule, [0, 0])[1] += 1
        self.grown(finding)

    def grown(self, finding: Finding) -> None:
        known = self._sums[finding.rule]
        known[0] = max(known[0], finding.points)

    def parts(self, rules: Mapping[str, Rule]) -> list[Part]:
        """The strongest finding of each rule counts whole, each further one what the rule says, up to its most."""
        made = []
        for name, (strongest, count) in self._sums.items():
            rule = rules.get(name)
            more = 0 if rule is None else rule.more * (count - 1)
            most = strongest if rule is None else max(rule.most, strongest)
            made.append(Part(name, self._titles[name], count, min(strongest + more, most)))
        return sorted(made, key=lambda part: (-part.points, part.rule))

    def score(self, rules: Mapping[str, Rule]) -> int:
        return sum(each.points for each in self.parts(rules))

    def dump(self) -> list[Any]:
        return [self.id, self.type, self.who, self.first, self.last, [each.dump() for each in self.findings], self.told]

    @classmethod
    def load(cls, said: list[Any]) -> Case:
        made = cls(*said[:5])
        for each in said[5]:
            made.add(Finding.load(each))
        made.told = said[6]
        return made


class Alert(NamedTuple):
    """Somebody is to be told of this case, now. `score` as it was then."""

    case: Case
    finding: Finding
    score: int
    parts: tuple[Part, ...]
    time: int


class Cases:
    """Those that are open. What was quiet for `quiet` microseconds is over; what comes after that begins another."""

    def __init__(self, rules: Mapping[str, Rule], quiet: int, alert_score: int) -> None:
        self._rules, self._quiet, self._alert_score = rules, quiet, alert_score
        self.open: dict[tuple[str, str], Case] = {}

    def add(self, finding: Finding) -> Case:
        known = self.open.get((finding.type, finding.who))
        if known is None or finding.first > known.last + self._quiet:
            name = "c-" + sha256(finding.key.encode()).hexdigest()[:12]
            known = self.open[finding.type, finding.who] = Case(
                name, finding.type, finding.who, finding.first, finding.last
            )
        known.add(finding)
        finding.case = known.id
        return known

    def touched(self, finding: Finding, time: int) -> Iterator[Alert]:
        """After a finding was added to its case, or has grown."""
        case = self.open.get((finding.type, finding.who))
        if case is None or case.id != finding.case:
            return
        case.last = max(case.last, finding.last)
        case.grown(finding)
        score = case.score(self._rules)
        if score >= self._alert_score and score >= case.told * AGAIN:
            case.told = score
            yield Alert(case, finding, score, tuple(case.parts(self._rules)), time)

    def sweep(self, now: int) -> None:
        for name in [name for name, each in self.open.items() if each.last + self._quiet < now]:
            del self.open[name]
