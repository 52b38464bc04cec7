"""A run over a log that is there: every finding, every case."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from pdp.audit.detect.detector import Detector
from pdp.audit.detect.finding import Case, Finding
from pdp.audit.detect.report import Report
from pdp.audit.leaf import Leaf


def replay(leaves: Iterable[Leaf], detector: Detector, until: int = 0) -> Report:
    """`until`: records from later are left out (microseconds; 0: none is)."""
    begun = time.monotonic()
    findings: list[Finding] = []
    seen: dict[str, Case] = {}

    def keep(found: list[Finding], case_of: Callable[[Finding], Case | None]) -> None:
        for each in found:
            findings.append(each)
            case = case_of(each)
            if case is not None and case.id == each.case:
                seen[case.id] = case

    def case_of(finding: Finding) -> Case | None:
        return detector.cases.open.get((finding.type, finding.who))

    for leaf in leaves:
        if until and leaf.time > until:
            continue
        keep(detector.feed(leaf), case_of)
    keep(detector.rest(), case_of)
    cases = sorted(seen.values(), key=lambda each: (-each.score(detector.by_id), each.first, each.id))
    return Report(findings, cases, detector.alerts, detector, time.monotonic() - begun)
