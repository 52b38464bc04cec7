"""What a run found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pdp.audit.asking.period import brief
from pdp.audit.detect.detector import Detector
from pdp.audit.detect.finding import Alert, Case, Finding
from pdp.audit.detect.window import DAY

SHOWN: Final = 20


@dataclass(slots=True)
class Report:
    """`cases`: all of the run, strongest first. `alerts`: in their order."""

    findings: list[Finding]
    cases: list[Case]
    alerts: list[Alert]
    detector: Detector
    seconds: float

    @property
    def days(self) -> float:
        """Of the log, whole ones at least."""
        tally = self.detector.tally
        return max(1.0, (tally.last - tally.first) / DAY)

    @property
    def explained_share(self) -> float:
        tally = self.detector.tally
        return 1 - tally.unexplained / tally.judged if tally.judged else 0.0

    def members(self) -> dict[str, Any]:
        tally, rules = self.detector.tally, self.detector.by_id
        return {
            "records": tally.records,
            "decisions": tally.decisions,
            "first": brief(tally.first),
            "last": brief(tally.last),
            "days": round(self.days, 3),
            "seconds": round(self.seconds, 3),
            "judged": tally.judged,
            "unexplained": tally.unexplained,
            "explained_share": round(self.explained_share, 5),
            "explained": dict(tally.explained.most_common()),
            "locked": tally.locked,
            "by_pseudonym_alone": tally.nameless,
            "late": tally.late,
            "alerts": [alert_members(each) for each in self.alerts],
            "alerts_per_day": round(len(self.alerts) / self.days, 3),
            "cases": [case_members(each, self.detector) for each in self.cases],
            "findings": [finding_members(each) for each in self.findings],
            "suppressed": [
                {"rule": rule, "by": by, "times": times}
                for (rule, by), times in sorted(self.detector.facts.suppressed.items())
            ],
            "not_judged": self.detector.not_judged(),
            "rules": {name: {"title": each.title, "threshold": each.threshold} for name, each in rules.items()},
        }

    def lines(self) -> Iterator[str]:
        tally = self.detector.tally
        yield f"{tally.records:,} records, {tally.decisions:,} decisions, {brief(tally.first)} to {brief(tally.last)}"
        if tally.judged:
            share = f"{100 * self.explained_share:.1f} % explained"
            yield f"{tally.judged:,} accesses to patients by the staff: {share}, {tally.unexplained:,} not"
        for name, times in tally.explained.most_common():
            title = next((each.title for each in self.detector.rules.templates if each.id == name), name)
            yield f"  {times:>9,}  {title}"
        each_day = len(self.alerts) / self.days
        yield f"{len(self.findings)} findings, {len(self.cases)} cases, {len(self.alerts)} alerts: {each_day:.2f} a day"
        yield from self._by_rule()
        strong = [each for each in self.cases if each.score(self.detector.by_id) >= self.detector.rules.alert_score]
        for each in strong[:SHOWN]:
            yield ""
            yield from case_lines(each, self.detector)
        if len(strong) > SHOWN:
            yield f"... and {len(strong) - SHOWN} more cases; --output json has all of them"
        yield ""
        for name, why in self.detector.not_judged().items():
            yield f"not judged: {name}: {why}"
        if tally.nameless:
            yield f"{tally.nameless:,} decisions name somebody by a pseudonym that the context does not have"

    def _by_rule(self) -> Iterator[str]:
        suppressed = self.detector.facts.suppressed
        for name, rule in self.detector.by_id.items():
            found = sum(each.rule == name for each in self.findings)
            away = {by: times for (of, by), times in suppressed.items() if of == name}
            if not found and not away:
                continue
            said = ", ".join(f"{by} {times:,}" for by, times in sorted(away.items(), key=lambda each: -each[1])[:4])
            yield f"  {name:<11} {found:>6}  {rule.title}" + (f"; explained away: {said}" if said else "")


def case_lines(case: Case, detector: Detector) -> Iterator[str]:
    parts = case.parts(detector.by_id)
    yield f"{case.id}  {case.type}:{case.who}  score {case.score(detector.by_id)}"
    yield "  " + " + ".join(each.says for each in parts)
    shown: Sequence[Finding] = sorted(case.findings, key=lambda each: each.first)
    for each in shown[:SHOWN]:
        about = f" {each.patient}" if each.patient else ""
        times = f" ({each.count} times)" if each.count > 1 else ""
        yield f"  {brief(each.first)}  {each.rule}{about}: {each.because}{times}"
    if len(shown) > SHOWN:
        yield f"  ... and {len(shown) - SHOWN} more findings"


def case_members(case: Case, detector: Detector) -> dict[str, Any]:
    return {
        "case": case.id,
        "type": case.type,
        "who": case.who,
        "score": case.score(detector.by_id),
        "parts": [each._asdict() for each in case.parts(detector.by_id)],
        "first": brief(case.first),
        "last": brief(case.last),
        "findings": [each.key for each in case.findings],
    }


def finding_members(each: Finding) -> dict[str, Any]:
    return {
        "finding": each.key,
        "case": each.case,
        "rule": each.rule,
        "title": each.title,
        "type": each.type,
        "who": each.who,
        "patient": each.patient,
        "first": brief(each.first),
        "last": brief(each.last),
        "points": each.points,
        "because": each.because,
        "count": each.count,
        "records": [{"index": place.at, "decision": place.id} for place in each.places],
    }


def alert_members(each: Alert) -> dict[str, Any]:
    return {
        "case": each.case.id,
        "type": each.case.type,
        "who": each.case.who,
        "score": each.score,
        "rule": each.finding.rule,
        "parts": [part._asdict() for part in each.parts],
        "at": brief(each.time),
    }
